"""Schema-driven fuzzing of every operation over HTTP, as nobody, as an ordinary user and as an administrator (S44).

A request that openapi.yaml allows or forbids must never lead to a 5xx, to an undocumented status, or to headers or a
body that violate their schema. Callers are new accounts. After a call has ended its session, a caller begins again
with another account. Every other valid case is aimed at an existing account, so that it gets past the first 404.
"""

import itertools
from contextlib import suppress
from typing import Any

import hypothesis
import hypothesis.errors
import pytest
import requests
import schemathesis
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from local.parts.launch import ROOT
from tests.contract.callers import PASSWORD, Caller
from tests.service import registration
from tests.system import System

# Errors of API Gateway itself have no code. The schema does not show that, because generated clients lose the types of
# `anyOf`.
GATEWAY = {"Bad Request", "Not Found", "Request Entity Too Large", "Internal Server Error", "Service Unavailable"}


def errors_have_codes_and_details(_: Any, response: schemathesis.Response, __: Case[Any]) -> None:
    """Every error of the service has a code. A 400 and a 415 have details, and the first detail has the same code."""
    if response.status_code < 400 or response.headers.get("content-type") != ["application/json"]:
        return
    error = response.json()
    assert "error" in error or error["message"] in GATEWAY, error
    if "error" in error and response.status_code in (400, 415):
        assert error["details"][0]["error"] == error["error"], error


CHECKS = [
    errors_have_codes_and_details,
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Operations that end the caller's session when they are aimed at the caller.
ENDS_SESSIONS = {"deleteUser", "disableUser", "updateUserRole", "updateUserSecret"}
STATUS_BEFORE = {"enableUser": "disabled"}
# Operations in which wrong passwords reach a limit. The test resets that limit now and then.
COUNTS_ATTEMPTS = {"issueToken", "updateUserSecret"}
turn, attempt = itertools.count(), itertools.count()


def document(*, max_examples: int, coverage: bool) -> Any:
    """Return openapi.yaml with the phases of a run: examples, ``max_examples`` random cases, and all boundary cases."""
    config = {
        "generation": {"max-examples": max_examples, "deterministic": True},
        "phases": {"coverage": {"enabled": coverage}},
    }
    return schemathesis.openapi.from_path(ROOT / "openapi.yaml", config=schemathesis.Config.from_dict(config))


bounded = document(max_examples=8, coverage=False)
full = document(max_examples=100, coverage=True)


@pytest.mark.long
@bounded.parametrize()  # type: ignore[untyped-decorator]
def test_every_operation(case: Case[Any], contract_system: System, callers: tuple[Caller, Caller]) -> None:
    call_as_everybody(case, contract_system, callers)


@pytest.mark.long
@full.parametrize()  # type: ignore[untyped-decorator]
def test_every_operation_in_full(case: Case[Any], contract_system: System, callers: tuple[Caller, Caller]) -> None:
    call_as_everybody(case, contract_system, callers)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10))
def test_sequences(seed: int, contract_system: System, callers: tuple[Caller, Caller]) -> None:
    """The stateful phase uses values of an answer, most of all ids of accounts, in the next requests."""
    admin = callers[1]
    failures: list[Exception] = []

    @hypothesis.seed(seed)
    class Sequence(full.as_state_machine()):  # type: ignore[misc]
        def call(self, case: Case[Any], **_: Any) -> schemathesis.Response:
            if is_positive(case) and case.operation.definition.raw["operationId"] == "registerUser":
                aim(case, "registerUser", admin)
            if case.path_parameters.get("id") == admin.operator.id:  # it was found in a list
                case.path_parameters["id"] = admin.id
            try:
                answer = call(case, contract_system, admin.access_token)
            except Exception as failure:
                failures.append(failure)
                raise
            if answer.status_code == 401:
                admin.stay()
            return answer

        def validate_response(self, response: schemathesis.Response, case: Case[Any], **_: Any) -> None:
            """Skip the validation, because `call` does it."""

    # Lists grow with each account, and hypothesis reports that as flaky. The code below still reports a failure.
    with suppress(hypothesis.errors.FlakyStrategyDefinition):
        Sequence.run(
            settings=hypothesis.settings(max_examples=10, stateful_step_count=10, deadline=None, database=None)
        )
    assert not failures


def call_as_everybody(case: Case[Any], system: System, callers: tuple[Caller, Caller]) -> None:
    """Send the case as nobody (with credentials that schemathesis made), as a user, and as an administrator."""
    operation = case.operation.definition.raw["operationId"]
    aimed = is_positive(case) and next(turn) % 2 == 0
    if operation in COUNTS_ATTEMPTS and next(attempt) % 3 == 0:
        system.execute("DELETE FROM users_throttle")
    call(case, system)
    for caller in callers:
        if aimed:
            aim(case, operation, caller)
        token = caller.refresh_token if operation == "refreshToken" else caller.access_token
        answer = call(case, system, token)
        if answer.status_code == 401 or operation in ENDS_SESSIONS:
            caller.stay()


def call(case: Case[Any], system: System, token: str = "") -> schemathesis.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    with requests.Session() as session:
        session.trust_env = False  # use no proxy
        return case.call_and_validate(base_url=system.url, session=session, headers=headers, checks=CHECKS)


def is_positive(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE


def aim(case: Case[Any], operation: str, caller: Caller) -> None:
    """Aim the case at the caller's account.

    If the case would end an administrator's session, aim it at another account.
    """
    if "id" in case.path_parameters:
        case.path_parameters["id"] = caller.id
        if caller.role == "admin" and operation in {*ENDS_SESSIONS, "enableUser"}:
            case.path_parameters["id"] = caller.somebody(status=STATUS_BEFORE.get(operation, "enabled"))["id"]
    if operation == "issueToken" and isinstance(case.body, dict):
        right = dict.fromkeys(("identity", "username"), caller.username) | dict.fromkeys(
            ("secret", "password"), PASSWORD
        )
        case.body |= {name: value for name, value in right.items() if name in case.body}
    if operation == "registerUser" and isinstance(case.body, dict):
        new = registration()
        case.body["email"] = new["email"]
        case.body |= {"credentials": new["credentials"]}
