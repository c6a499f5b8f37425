"""Every call of the TypeScript SDK's Users class against the running system (contract §12.3)."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.sdk import SdkError, Transcript, Users, typescript_sdk
from tests.service import PASSWORD
from tests.system import System

ZERO_TIME = "0001-01-01T00:00:00Z"
NEW_PASSWORD = "another 9 purple giraffes"
RESET, VERIFICATION = "Password Reset Request", "Email Verification"
# Other services serve the lists of a user's entities in a domain (contract §12.3).
ELSEWHERE = ("ListUserGroups", "ListUserClients", "ListUserChannels")

User = dict[str, Any]


@pytest.fixture
def users(system: System) -> Iterator[Users]:
    with typescript_sdk(system.url) as sdk:
        yield sdk


@pytest.mark.long
def test_every_call_of_the_users_class(system: System, users: Users) -> None:
    try:
        user, token = _register_and_verify(system, users)
        user = _change(users, user, token)
        token = _passwords(system, users, user, token)
        _administer(system, users, user, token)
        _what_is_served_elsewhere(users, user, token)
    finally:
        users.transcript.show()
    assert users.called == set(users.methods)


def refused(users: Users, status: int, message: str, method: str, *arguments: Any) -> None:
    """Expect that a call throws the service's message, which the SDK reads from JSON."""
    with pytest.raises(SdkError) as thrown:
        users.call(method, *arguments)
    assert (thrown.value.status, thrown.value.message) == (status, message)


def _register_and_verify(system: System, users: Users) -> tuple[User, str]:
    name = f"u{uuid.uuid4().hex[:12]}"
    wanted = {
        "first_name": "Grace",
        "last_name": "Hopper",
        "email": f"{name}@example.com",
        "tags": ["navy", "cobol"],
        "metadata": {"rank": "rear admiral", "since": 1985},
        "credentials": {"username": name, "secret": PASSWORD},
    }
    user: User = users.call("Create", wanted)  # with `Authorization: Bearer undefined`
    assert {key: user[key] for key in wanted if key != "credentials"} == {
        key: value for key, value in wanted.items() if key != "credentials"
    }
    assert user["credentials"] == {"username": name}
    assert (user["status"], user["role"], user["verified_at"]) == ("enabled", "user", ZERO_TIME)
    refused(users, 409, "username not available", "Create", wanted | {"email": f"x{name}@example.com"})

    tokens = users.call("CreateToken", {"username": name, "password": PASSWORD})
    assert set(tokens) == {"access_token", "refresh_token"}
    assert users.call("CreateToken", {"username": user["email"], "password": PASSWORD})["access_token"]
    refused(users, 401, "invalid credentials", "CreateToken", {"username": name, "password": "no"})
    token: str = tokens["access_token"]

    assert users.call("UserProfile", token) == user
    refused(users, 401, "email not verified", "User", user["id"], token)
    # Registering sent the mail. A second request within a minute succeeds and sends no mail (decisions 11).
    link = system.mail(user["email"], VERIFICATION)
    assert users.call("SendVerification", token) == {
        "status": 200,
        "message": "Verification email sent successfully",
    }
    assert users.call("VerifyEmail", link.token) == {"status": 200, "message": "Email verified successfully"}
    refused(users, 400, "verification expired, please request a new one", "VerifyEmail", link.token)
    refused(users, 409, "user already verified", "SendVerification", token)
    user = users.call("User", user["id"], token)
    assert user["verified_at"] > "2020"

    refreshed = users.call("RefreshToken", tokens["refresh_token"])
    assert users.call("UserProfile", refreshed["access_token"])["id"] == user["id"]
    return user, refreshed["access_token"]


def _change(users: Users, user: User, token: str) -> User:
    stale = user | {"tags": ["stale"], "role": "admin"}
    changed = users.call("Update", stale | {"first_name": "Amazing", "metadata": {"rank": "retired"}}, token)
    assert (changed["first_name"], changed["metadata"]) == ("Amazing", {"rank": "retired"})
    assert (changed["tags"], changed["role"]) == (user["tags"], "user"), "a whole-user body changes nothing else"
    assert changed["updated_by"] == user["id"]

    tagged = users.call("UpdateUserTags", changed | {"tags": ["a", "b"]}, token)
    assert tagged["tags"] == ["a", "b"]
    picture = "https://example.com/grace.png"
    assert (
        users.call("UpdateProfilePicture", tagged | {"profile_picture": picture}, token)["profile_picture"] == picture
    )
    name = f"g{uuid.uuid4().hex[:12]}"
    renamed: User = users.call("UpdateUsername", tagged | {"credentials": {"username": name}}, token)
    assert renamed["credentials"] == {"username": name}
    found = users.call("SearchUsers", {"username": name, "limit": 5, "offset": 0}, token)
    assert [each["id"] for each in found["users"]] == [user["id"]]
    assert (found["total"], found["limit"]) == (1, 5)
    refused(users, 403, "not authorized to perform admin action", "Users", {"limit": 5}, token)
    return renamed


def _passwords(system: System, users: Users, user: User, token: str) -> str:
    name = user["credentials"]["username"]
    refused(users, 403, "current password is wrong", "UpdateUserPassword", "wrong password", NEW_PASSWORD, token)
    assert users.call("UpdateUserPassword", PASSWORD, NEW_PASSWORD, token)["id"] == user["id"]
    refused(users, 401, "failed to perform authentication over the entity", "UserProfile", token)
    assert users.call("CreateToken", {"username": name, "password": NEW_PASSWORD})["access_token"]

    sent = {"status": 201, "message": "Email with reset link sent successfully"}
    assert users.call("ResetPasswordRequest", user["email"], "http://localhost") == sent
    assert users.call("ResetPasswordRequest", "nobody@example.com", "http://localhost") == sent
    link = system.mail(user["email"], RESET)
    refused(users, 400, "invalid reset password", "ResetPassword", PASSWORD, "other", link.token)
    done = {"status": 201, "message": "Password reset successfully"}
    assert users.call("ResetPassword", PASSWORD, PASSWORD, link.token) == done
    refused(
        users, 400, "verification expired, please request a new one", "ResetPassword", PASSWORD, PASSWORD, link.token
    )
    tokens = users.call("CreateToken", {"username": name, "password": PASSWORD})

    address = f"new-{user['email']}"
    moved = users.call("UpdateEmail", user | {"email": address}, tokens["access_token"])
    assert (moved["email"], moved["verified_at"]) == (address, ZERO_TIME)
    assert users.call("VerifyEmail", system.mail(address, VERIFICATION).token)["status"] == 200
    access_token: str = tokens["access_token"]
    return access_token


def _administer(system: System, users: Users, user: User, token: str) -> None:
    admin = system.admin_token()
    name = user["credentials"]["username"]
    page = users.call("Users", {"username": name, "status": "all", "order": "username", "dir": "asc"}, admin)
    assert [each["id"] for each in page["users"]] == [user["id"]]
    assert page["total"] == 1
    shown = users.call("User", user["id"], admin)

    assert users.call("UpdateUserRole", shown | {"role": "admin"}, admin)["role"] == "admin"
    refused(users, 401, "failed to perform authentication over the entity", "UserProfile", token)
    promoted = users.call("CreateToken", {"username": name, "password": PASSWORD})["access_token"]
    assert users.call("Users", {"limit": 1}, promoted)["limit"] == 1
    assert users.call("UpdateUserRole", shown | {"role": "user"}, admin)["role"] == "user"

    assert users.call("Disable", user["id"], admin)["status"] == "disabled"
    refused(users, 409, "status already assigned", "Disable", user["id"], admin)
    refused(users, 401, "invalid credentials", "CreateToken", {"username": name, "password": PASSWORD})
    assert users.call("Enable", user["id"], admin)["status"] == "enabled"
    assert users.call("DeleteUser", user["id"], admin) == {"status": 204, "message": "User deleted successfully"}
    assert users.call("User", user["id"], admin)["status"] == "deleted"
    assert users.call("Users", {"username": name}, admin)["users"] == []


def _what_is_served_elsewhere(users: Users, user: User, token: str) -> None:
    """Expect 404 with JSON that the SDK can read."""
    for method in ELSEWHERE:
        refused(users, 404, "Not Found", method, "domain", user["id"], {"limit": 1}, token)


def test_what_the_release_lacks_as_its_sources_send_it(system: System) -> None:
    """RevokeRefreshToken and ListActiveRefreshTokens of absmach/magistrala-sdk-ts, src/users.ts, at 8e599fb7a95a."""
    user = system.register()
    transcript = Transcript("absmach/magistrala-sdk-ts at 8e599fb7a95a, by plain HTTP")

    def send(name: str, method: str, path: str, token: str, body: Any = None) -> Any:
        answer = system.call(method, path, body, token=token, **{"Content-Type": "application/json"})
        transcript.add(name, method, path, answer.status_code)
        return answer

    try:
        login = {"username": user["email"], "password": PASSWORD, "description": "laptop"}
        tokens = send("CreateToken", "POST", "/users/tokens/issue", "", login).json()
        token = tokens["access_token"]
        answer = send("ListActiveRefreshTokens", "GET", "/users/tokens/refresh-tokens", token)
        assert answer.status_code == 200
        (listed,) = answer.json()["refresh_tokens"]
        assert listed["description"] == "laptop"
        answer = send("RevokeRefreshToken", "POST", "/users/tokens/revoke", token, {"token_id": listed["id"]})
        assert answer.status_code == 204
        answer = send("RefreshToken", "POST", "/users/tokens/refresh", tokens["refresh_token"])
        assert answer.status_code == 401
        assert answer.json()["message"]
        answer = send("ListActiveRefreshTokens", "GET", "/users/tokens/refresh-tokens", token)
        assert answer.json() == {"refresh_tokens": []}
    finally:
        transcript.show()
