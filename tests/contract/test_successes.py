"""Every success that openapi.yaml documents is produced once and matches, on one person's way through the whole API."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis

from tests.contract.callers import PASSWORD, Caller
from tests.contract.test_schemathesis import CHECKS, bounded
from tests.service import registration
from tests.system import System

NEW_PASSWORD = "a-longer-Passphrase-7"
VERIFICATION = "Email Verification"
RESET = "Password Reset Request"


class Walk:
    """Calls operations by their operationId, validates each answer against the document, and records the status."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.seen: set[tuple[str, int]] = set()

    def __call__(
        self, name: str, status: int, *, token: str = "", user_id: str = "", file: str = "", **request: Any
    ) -> httpx.Response:
        operation = bounded.find_operation_by_id(name)
        path = operation.path.format(id=user_id, file=file)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= request.pop("headers", {})
        url = self.system.url + path
        answer = httpx.request(operation.method.upper(), url, headers=headers, timeout=30, trust_env=False, **request)
        assert answer.status_code == status, answer.text
        checked = schemathesis.Response.from_httpx(answer, verify=True)
        operation.Case(path_parameters={"id": user_id, "file": file}).validate_response(checked, checks=CHECKS)
        self.seen.add((name, status))
        return answer


@pytest.fixture
def walk(contract_system: System) -> Walk:
    return Walk(contract_system)


def documented_successes() -> Iterator[tuple[str, int]]:
    for result in bounded.get_all_operations():
        operation = result.ok()
        for status in operation.definition.raw["responses"]:
            if status < "400":
                yield operation.definition.raw["operationId"], int(status)


def test_every_success(walk: Walk, callers: tuple[Caller, Caller]) -> None:
    body = registration(
        credentials={"secret": PASSWORD}, tags=["a"], metadata={"locale": "en"}, private_metadata={"b": 1}
    )
    user_id = walk("registerUser", 201, json=body).json()["id"]
    _sessions(walk, body)
    _mails(walk, body)
    token = _log_in(walk, body["email"], NEW_PASSWORD)["access_token"]
    _changes(walk, user_id, token)
    token = _log_in(walk, "new-" + body["email"], PASSWORD)["access_token"]
    callers[1].stay()
    _administration(walk, user_id, token, callers[1])
    walk("health", 200)
    walk("passwordPolicy", 200)
    tag = walk("openapi", 200).headers["ETag"]
    walk("openapi", 304, headers={"If-None-Match": tag})
    walk("docsRoot", 302)
    tag = walk("docs", 200).headers["ETag"]
    walk("docs", 304, headers={"If-None-Match": tag})
    tag = walk("docsFile", 200, file="page.js").headers["ETag"]
    walk("docsFile", 304, file="page.js", headers={"If-None-Match": tag})
    assert walk.seen == set(documented_successes())


def _log_in(walk: Walk, identity: str, password: str) -> dict[str, str]:
    tokens: dict[str, str] = walk("issueToken", 201, json={"identity": identity, "secret": password}).json()
    return tokens


def _sessions(walk: Walk, body: dict[str, Any]) -> None:
    """Log in, refresh, list, revoke, and view the profile."""
    login = {"username": body["credentials"]["username"], "password": PASSWORD, "description": "laptop"}
    tokens = walk("issueToken", 201, json=login).json()
    new = walk("refreshToken", 201, token=tokens["refresh_token"], json={}).json()
    listed = walk("listRefreshTokens", 200, token=new["access_token"]).json()["refresh_tokens"]
    for each in listed:
        walk("revokeRefreshToken", 204, token=new["access_token"], json={"token_id": each["id"]})
    assert walk("viewProfile", 200, token=new["access_token"]).json()["private_metadata"] == {"b": 1}


def _mails(walk: Walk, body: dict[str, Any]) -> None:
    """Verify by page and button.

    Ask for two reset mails: a program uses the first link, page and form use the second.
    """
    email = body["email"]
    verification = walk.system.mail(email, VERIFICATION).token
    walk("verifyEmail", 200, params={"token": verification})
    walk("verifyEmailForm", 200, data={"token": verification})
    walk("requestPasswordReset", 201, json={"email": email})
    reset = walk.system.mail(email, RESET).token
    passwords = {"password": "an-interim-Passphrase-7", "confirm_password": "an-interim-Passphrase-7"}
    walk("resetPassword", 201, token=reset, json=passwords)
    walk.system.execute("DELETE FROM users_throttle")  # allow a second mail within a minute
    walk("requestPasswordReset", 201, json={"email": email})
    reset = walk.system.mail(email, RESET, count=2).token
    walk("resetPasswordPage", 200, params={"token": reset})
    walk("resetPasswordForm", 200, data={"token": reset, "password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD})


def _changes(walk: Walk, user_id: str, token: str) -> None:
    """Change everything that an account may change of itself. The password is last, because it ends the session."""
    own: dict[str, Any] = {"token": token, "user_id": user_id}
    email = walk("viewUser", 200, **own).json()["email"]
    walk("updateUser", 200, **own, json={"first_name": "Augusta", "profile_picture": "https://example.com/a.png"})
    walk("updateUserTags", 200, **own, json={"tags": ["b", "c"]})
    walk("updateProfilePicture", 200, **own, json={"profile_picture": ""})
    walk("updateUsername", 200, **own, json={"username": f"n{user_id[:8]}"})
    walk("updateUserEmail", 200, **own, json={"email": f"new-{email}"})
    walk("sendVerification", 200, token=token)
    token = walk.system.mail(f"new-{email}", VERIFICATION).token
    walk("verifyEmail", 200, params={"token": token}, headers={"Accept": "application/json"})
    walk("updateUserSecret", 200, token=own["token"], json={"old_secret": NEW_PASSWORD, "new_secret": PASSWORD})


def _administration(walk: Walk, user_id: str, token: str, admin: Caller) -> None:
    """Find the account, and take it through its states."""
    found = walk("searchUsers", 200, token=token, params={"id": user_id}).json()
    assert [user["id"] for user in found["users"]] == [user_id]
    rule: dict[str, Any] = {"token": admin.access_token, "user_id": user_id}
    walk("disableUser", 200, **rule)
    walk("enableUser", 200, **rule)
    walk("updateUserRole", 200, **rule, json={"role": "admin"})
    walk("deleteUser", 204, **rule)
    listed = walk("listUsers", 200, token=admin.access_token, params={"status": "deleted", "limit": 1}).json()
    assert listed["users"]
    walk("deleteUser", 204, **rule, params={"purge": "true"})
