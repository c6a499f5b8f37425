"""Faults on demand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import httpx
import pytest

from local.auth import wire
from local.auth.tests.process import new_user, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.auth.tests.process import AuthProcess


@pytest.fixture(scope="module")
def failing(start_auth: Callable[..., AuthProcess]) -> AuthProcess:
    """Start the service with AUTH_FAULTS=1."""
    return start_auth(AUTH_FAULTS="1")


def url(auth: AuthProcess) -> str:
    """Return the address of the faults."""
    return f"http://127.0.0.1:{auth.ready['http_port']}/faults"


def post(auth: AuthProcess, **fault: object) -> httpx.Response:
    """Add a fault."""
    return httpx.post(url(auth), json=fault, trust_env=False)


def authenticate(auth: AuthProcess) -> grpc.StatusCode:
    """Return the status of Authenticate for an invalid token."""
    request = wire.AuthNReq(token="x")  # noqa: S106 - not a token
    with pytest.raises(grpc.RpcError) as raised:
        auth.call("auth.v1.AuthService/Authenticate", request, wire.AuthNRes)
    code: grpc.StatusCode = raised.value.code()
    return code


def test_only_where_it_is_allowed(auth: AuthProcess) -> None:
    """By default, /faults does not exist."""
    assert post(auth, method="Authenticate", status="INTERNAL").status_code == 404
    assert httpx.get(url(auth), trust_env=False).status_code == 404
    assert httpx.delete(url(auth), trust_env=False).status_code == 404
    assert authenticate(auth) is grpc.StatusCode.UNAUTHENTICATED


def test_fault_of_some_calls_and_of_all_calls_until_it_is_cleared(failing: AuthProcess) -> None:
    """Calls meet faults in the order in which they were added."""
    assert post(failing, method="Authenticate", status="UNAVAILABLE", calls=2).status_code == 201
    assert post(failing, method="Authenticate", status="INTERNAL").status_code == 201
    codes = [authenticate(failing) for _ in range(4)]
    assert [code.name for code in codes] == ["UNAVAILABLE", "UNAVAILABLE", "INTERNAL", "INTERNAL"]
    left = {"method": "Authenticate", "status": "INTERNAL", "calls": None, "after": False}
    assert httpx.get(url(failing), trust_env=False).json() == [left]
    httpx.delete(url(failing), trust_env=False)
    assert authenticate(failing) is grpc.StatusCode.UNAUTHENTICATED


def test_hanging_until_the_caller_gives_up(failing: AuthProcess) -> None:
    """The caller's own deadline ends the call."""
    post(failing, method="Authenticate", status="HANG", calls=1)
    call: Callable[..., bytes] = failing.channel.unary_unary("/auth.v1.AuthService/Authenticate")
    began = time.monotonic()
    with pytest.raises(grpc.RpcError) as raised:
        call(b"", timeout=0.3)
    assert raised.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - began >= 0.3


def test_after_the_work_is_done(failing: AuthProcess) -> None:
    """With `after`, the call does its work, and only its answer is lost."""
    user = new_user()
    failing.grant(user, "member")
    token = failing.issue(user).refresh_token
    post(failing, method="Refresh", status="INTERNAL", calls=1, after=True)
    with pytest.raises(grpc.RpcError):
        failing.refresh(token)
    assert failing.refresh(token).access_token


def _authorize(auth: AuthProcess, user: str) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        auth.authorize(user)
    return raised.value.code(), str(raised.value.details())


def test_a_refusal_and_an_outage_of_the_policy_store_share_a_status(failing: AuthProcess) -> None:
    """As in the real service, only the text of PERMISSION_DENIED shows whether SpiceDB answered."""
    member = new_user()
    failing.grant(member, "member")
    status, refusal = _authorize(failing, member)
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert refusal.endswith(" : PERMISSIONSHIP_NO_PERMISSION")
    post(failing, method="CheckPermission", status="UNAVAILABLE", calls=2)
    status, outage = _authorize(failing, member)
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert "unexpected gRPC status: Unavailable (status code:Unavailable)" in outage
    assert "connection refused" in outage
    assert refused(lambda: failing.issue(member)) is grpc.StatusCode.INTERNAL
    assert failing.issue(member).access_token
    assert _authorize(failing, member) == (grpc.StatusCode.PERMISSION_DENIED, refusal)


@pytest.mark.parametrize(
    ("status", "answered"),
    [
        ("DEADLINE_EXCEEDED", "PERMISSION_DENIED"),
        ("INTERNAL", "PERMISSION_DENIED"),
        ("PERMISSION_DENIED", "PERMISSION_DENIED"),
        ("FAILED_PRECONDITION", "INVALID_ARGUMENT"),
        ("UNAUTHENTICATED", "UNAUTHENTICATED"),
    ],
)
def test_other_failures_of_the_policy_store(failing: AuthProcess, status: str, answered: str) -> None:
    """A SpiceDB without a schema or with another key looks like a mistake of the request or the caller."""
    post(failing, method="CheckPermission", status=status, calls=1)
    code, text = _authorize(failing, new_user())
    assert code is grpc.StatusCode[answered]
    assert "PERMISSIONSHIP" not in text


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "Refresh"},
        {"method": "CheckPermission", "status": "HANG"},
        {"method": "Refresh", "status": "BROKEN"},
        {"method": "Refresh", "status": "INTERNAL", "calls": 0},
        {"method": "Refresh", "status": "INTERNAL", "more": 1},
    ],
    ids=str,
)
def test_wrong_fault_is_refused(failing: AuthProcess, fault: dict[str, object]) -> None:
    """The answer is 400 with a message, and no fault is added."""
    answer = post(failing, **fault)
    assert answer.status_code == 400
    assert answer.json()["message"]
    assert httpx.get(url(failing), trust_env=False).json() == []
