"""S35 Who may do what: ``matrix.csv`` lists every operation and caller, and the real service must answer that way.

The columns are callers: nobody; the account of the request; another ordinary user; an administrator. Then follow the
account of the request while it is disabled, deleted or unverified, the same account with another credential than a
session, and an administrator with a personal access token or an API key. A route of template.yaml without a row fails.
"""

import csv
import json
import uuid
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from local.gateway.template import read_stack
from tests.people import NEW_PASSWORD, Person, claims, mail_token, token_of_kind
from tests.service import PASSWORD, ROOT, Service, registration
from users.peers import spicedb
from users.rules import passwords

FORM = {"content-type": "application/x-www-form-urlencoded"}
STATUSES = {"disabled": 1, "deleted": 2}
CREDENTIALS = ("pat", "api_key", "refresh", "recovery", "invitation")
# Rows about one case of a route. The key of the route is the text before the case.
CASES = (" as admin", " without secret", " and purge", " and remove")


def read_matrix() -> list[dict[str, str]]:
    with (Path(__file__).parent / "matrix.csv").open(encoding="utf-8", newline="") as file:
        return [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]


MATRIX = read_matrix()
CELLS = [
    pytest.param(row, caller, int(status), id=f"{row['route']} by {caller}".replace(" ", "-"))
    for row in MATRIX
    for caller, status in row.items()
    if caller not in {"route", "operation"}
]


def route_key(row: dict[str, str]) -> str:
    """Return the route of a row, without the words for one case of it."""
    key = row["route"]
    for case in CASES:
        key = key.removesuffix(case)
    return key


@cache
def secret_hash() -> str:
    return passwords.hash_password(PASSWORD)


def account(service: Service, *, role: int = 0, status: int = 0, verified: bool = True) -> Person:
    """Return an account with valid tokens, so that only the state in the row can lead to a refusal."""
    user_id, name = str(uuid.uuid4()), f"m{uuid.uuid4().hex[:12]}"
    service.execute(
        "INSERT INTO users (id, username, email, first_name, last_name, secret, created_at, role, status, verified_at)"
        " VALUES (%s, %s, %s, 'Ada', 'Lovelace', %s, now(), %s, %s, CASE WHEN %s THEN now() END)",
        user_id, name, f"{name}@example.com", secret_hash(), role, status, verified,
    )  # fmt: skip
    spicedb.grant(user_id, role)
    tokens = (token_of_kind(service, user_id, "access"), token_of_kind(service, user_id, "refresh"))
    return Person(user_id, f"{name}@example.com", name, PASSWORD, *tokens)


def caller_token(service: Service, caller: str, subject: Person) -> str | None:
    if caller == "anonymous":
        return None
    if caller == "other":
        return account(service).token
    if caller == "admin":
        return account(service, role=1).token
    if caller in {"admin_pat", "admin_api_key"}:
        return token_of_kind(service, account(service, role=1).id, caller.removeprefix("admin_"))
    return token_of_kind(service, subject.id, caller) if caller in CREDENTIALS else subject.token


def body_of(operation: str, subject: Person) -> Any:
    """Return a valid body, or None if the operation reads none."""
    bodies = {
        "register_user": registration(),
        "issue_token": {"identity": subject.email, "secret": subject.secret},
        "refresh_token": {},
        "revoke_refresh_token": {"token_id": claims(subject.refresh_token)["jti"]},
        "update_user": {"first_name": "Grace"},
        "update_profile_picture": {"profile_picture": "p"},
        "update_username": {"username": f"n{uuid.uuid4().hex[:12]}"},
        "update_user_email": {"email": f"{uuid.uuid4()}@example.com"},
        "update_user_role": {"role": "admin"},
        "update_user_secret": {"old_secret": subject.secret, "new_secret": NEW_PASSWORD},
        "request_password_reset": {"email": subject.email},
        "reset_password": {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD},
    }
    return bodies[operation] if operation in bodies else committed_body(operation)


def committed_body(operation: str) -> Any:
    """The body of the operation's event in events/, which suits an operation without a body here."""
    body = json.loads((ROOT / f"events/{operation}.json").read_text()).get("body")
    return json.loads(body) if body else None


def request_of(service: Service, row: dict[str, str], subject: Person) -> dict[str, Any]:
    """Return a request without the bearer token, in which only the caller can be refused."""
    operation, (method, path) = row["operation"], route_key(row).split(" ")
    request: dict[str, Any] = {"operation": operation, "method": method, "body": body_of(operation, subject)}
    if "{id}" in path:
        request["user_id"] = subject.id
    elif operation == "docs":
        request |= {
            "rawPath": path.format(file="page.js"),
            "pathParameters": {"file": "page.js"} if "{" in path else {},
        }
    if row["route"].endswith(" as admin"):
        request["body"]["role"] = "admin"
    elif row["route"].endswith(" without secret"):
        del request["body"]["credentials"]["secret"]
    elif row["route"].endswith(" and purge"):
        request["query"] = "purge=true"
    elif operation == "search_users":
        request["query"] = "first_name=Ada"
    elif operation in {"verify_email", "reset_password"} and method != "PUT":
        token = mail_token(service, subject, "verification" if operation == "verify_email" else "password_reset")
        fields = {"token": token, **(body_of(operation, subject) or {})}
        if row["route"].endswith(" and remove"):
            # The button works only for an account that registered itself and was never verified.
            service.execute("UPDATE users SET self_registered = true, verified_at = NULL WHERE id = %s", subject.id)
            fields["action"] = "remove"
        form = urlencode(fields)
        request |= {"body": None}
        request |= {"query": form} if method == "GET" else {"raw": form, "headers": FORM}
        if row["route"] == "GET /verify-email":
            request["headers"] = {"accept": "application/json"}
    return request


def test_every_route_has_a_row() -> None:
    stack = read_stack(ROOT / "template.yaml", region="eu-central-1")
    routes = {(route.key, stack.functions[route.function].code_dir.name) for route in stack.routes}
    assert {(route_key(row), row["operation"]) for row in MATRIX} == routes


@pytest.mark.parametrize(("row", "caller", "status"), CELLS)
def test_matrix(service: Service, row: dict[str, str], caller: str, status: int) -> None:
    subject = account(service, status=STATUSES.get(caller, 0), verified=caller != "unverified")
    request = request_of(service, row, subject)
    answer = service.call(**request, token=caller_token(service, caller, subject))
    assert answer.status == status, answer.text
