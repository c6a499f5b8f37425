"""The requests of the Go SDK, replayed from a table (contract §12.1; absmach/magistrala, pkg/sdk/users.go).

Go is not needed: only the requests on the wire matter. Every request has ``Content-Type: application/json``, also
without a body. A User is marshalled whole, with ``"id":""`` and zero times. Requests for pages have
``with_attributes`` and ``with_metadata``. An answer other than the expected one must be JSON with a ``message``.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.clients.sdk import Transcript
from tests.service import PASSWORD
from tests.system import System

pytestmark = pytest.mark.long

ZERO_TIME = "0001-01-01T00:00:00Z"
NEW_PASSWORD = "another 9 purple giraffes"
RESET, VERIFICATION = "Password Reset Request", "Email Verification"
NOBODY = "00000000-0000-4000-8000-000000000000"


def go_user(**values: Any) -> dict[str, Any]:
    """Return a ``sdk.User`` as encoding/json writes it.

    ``omitempty`` has no effect on structs, and times are structs.
    """
    user = {"id": "", "credentials": {}, "created_at": ZERO_TIME, "updated_at": ZERO_TIME}
    return user | {key: value for key, value in values.items() if value not in ("", [], {}, None)}


def page(**values: Any) -> str:
    """Return the query of a ``sdk.PageMetadata``: set values in Go's order, and two keys that it always sends."""
    return urlencode(sorted({**values, "with_attributes": "false", "with_metadata": "false"}.items()))


@dataclass
class Story:
    """Values from earlier answers that the rows of the table use."""

    system: System
    name: str = field(default_factory=lambda: f"go{uuid.uuid4().hex[:12]}")
    user: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    refresh: str = ""
    admin: str = ""

    @property
    def email(self) -> str:
        return f"{self.name}@example.com"

    def mailed(self, subject: str) -> str:
        return self.system.mail(self.email, subject).token

    def keep_tokens(self, tokens: dict[str, Any]) -> None:
        self.token, self.refresh = tokens["access_token"], tokens["refresh_token"]

    def whole(self, **changes: Any) -> dict[str, Any]:
        """Return the user as the SDK has read it and sends it back, without keys that its struct lacks."""
        known = ("id", "first_name", "last_name", "email", "credentials", "tags", "metadata", "private_metadata",
                 "created_at", "updated_at", "status", "role", "profile_picture", "auth_provider")  # fmt: skip
        return go_user(**{key: self.user[key] for key in known if key in self.user} | changes)


@dataclass(frozen=True)
class Row:
    """A call of the SDK: the request, the one status that means success, and a condition of the answer."""

    call: str
    method: str
    path: Callable[[Story], str]
    status: int
    body: Callable[[Story], Any] | None = None
    token: Callable[[Story], str] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    then: Callable[[Story, Any], Any] | None = None


def path(text: str) -> Callable[[Story], str]:
    """Return a function that makes the path. ``{id}`` is the user's id."""
    return lambda story: text.replace("{id}", story.user.get("id", ""))


def own(story: Story) -> str:
    return story.token


def admin(story: Story) -> str:
    return story.admin


def keep_user(story: Story, user: dict[str, Any]) -> bool:
    story.user = user
    return bool(user["credentials"] == {"username": story.name})


def keep_tokens(story: Story, tokens: dict[str, Any]) -> bool:
    story.keep_tokens(tokens)
    return set(tokens) == {"access_token", "refresh_token"}


def finds_the_user(story: Story, found: dict[str, Any]) -> bool:
    return [each["id"] for each in found["users"]] == [story.user["id"]]


def finds_nobody(_: Story, found: dict[str, Any]) -> bool:
    return (found["users"], found["total"]) == ([], 0)


def changed_as_documented(_: Story, user: dict[str, Any]) -> bool:
    """Return whether names and metadata have changed. The tags of a whole-user body have no effect (decisions 7)."""
    return (user["first_name"], user["metadata"]["team"], user["tags"]) == ("Robert", "plan 9", ["go"])


def registration(story: Story) -> dict[str, Any]:
    credentials = {"username": story.name, "secret": PASSWORD}
    return go_user(
        first_name="Rob", last_name="Pike", email=story.email, credentials=credentials, tags=["go"], status="enabled"
    )


def login(password: str) -> Callable[[Story], Any]:
    return lambda story: {"username": story.name, "password": password}


def reset(password: str) -> Callable[[Story], Any]:
    return lambda story: {"token": story.mailed(RESET), "password": password, "confirm_password": password}


TABLE = [
    Row("CreateUser", "POST", path("/users"), 201, registration, then=keep_user),
    Row("CreateToken", "POST", path("/users/tokens/issue"), 201, login(PASSWORD), then=keep_tokens),
    Row("SendVerification", "POST", path("/users/send-verification"), 200, token=own),
    Row("VerifyEmail", "GET", lambda story: f"/verify-email?token={story.mailed(VERIFICATION)}", 200),
    Row(
        "RefreshToken", "POST", path("/users/tokens/refresh"), 201, token=lambda story: story.refresh,
        then=keep_tokens,
    ),
    Row("UserProfile", "GET", path("/users/profile"), 200, token=own, then=keep_user),
    Row("User", "GET", path("/users/{id}"), 200, token=own, then=keep_user),
    Row("User", "GET", path(f"/users/{NOBODY}"), 404, token=own, then=lambda _, error: error["message"]),
    Row(
        "UpdateUser", "PATCH", path("/users/{id}"), 200,
        lambda story: story.whole(first_name="Robert", metadata={"team": "plan 9"}, tags=["stale"]), own,
        then=changed_as_documented,
    ),
    Row(
        "UpdateUserTags", "PATCH", path("/users/{id}/tags"), 200, lambda story: story.whole(tags=["a", "b"]), own,
        then=lambda _, user: user["tags"] == ["a", "b"],
    ),
    Row(
        "UpdateProfilePicture", "PATCH", path("/users/{id}/picture"), 200,
        lambda story: story.whole(profile_picture="https://example.com/r.png"), own,
        then=lambda _, user: user["profile_picture"] == "https://example.com/r.png",
    ),
    Row(
        "UpdateUsername", "PATCH", path("/users/{id}/username"), 200, lambda story: {"username": f"{story.name}x"}, own,
        then=lambda story, user: user["credentials"] == {"username": f"{story.name}x"},
    ),
    Row("UpdateUsername", "PATCH", path("/users/{id}/username"), 200, lambda story: {"username": story.name}, own),
    Row(
        "SearchUsers", "GET", lambda story: f"/users/search?{page(username=story.name, limit=10)}", 200, token=own,
        then=finds_the_user,
    ),
    Row(
        "UpdatePassword", "PATCH", path("/users/secret"), 200,
        lambda _: {"old_secret": PASSWORD, "new_secret": NEW_PASSWORD}, own,
    ),
    Row("UserProfile", "GET", path("/users/profile"), 401, token=own, then=lambda _, error: error["message"]),
    Row(
        "ResetPasswordRequest", "POST", path("/password/reset-request"), 201,
        lambda story: {"email": story.email, "host": ""}, headers={"Referer": "http://localhost"},
    ),
    Row("ResetPassword", "PUT", path("/password/reset"), 201, reset(PASSWORD), lambda story: story.mailed(RESET)),
    Row("CreateToken", "POST", path("/users/tokens/issue"), 201, login(PASSWORD), then=keep_tokens),
    Row("Users", "GET", lambda story: f"/users?{page(username=story.name)}", 200, token=admin, then=finds_the_user),
    Row(
        "Users", "GET",
        lambda story: "/users?" + page(
            offset=0, limit=5, order="created_at", dir="asc", email=story.email, first_name="Robert", last_name="Pike",
            id=story.user["id"], status="all", metadata='{"team":"plan 9"}', tags="a,b", identity="ignored",
            created_from=story.user["created_at"][:19] + "Z", created_to="2100-01-01T00:00:00Z",
        ), 200, token=admin, then=finds_the_user,
    ),
    # The SDK joins the tags of an AND with `-`, which makes one tag that no account has.
    Row(
        "Users", "GET", lambda story: f"/users?{page(username=story.name, tags='a-b')}", 200, token=admin,
        then=finds_nobody,
    ),
    Row(
        "UpdateUserRole", "PATCH", path("/users/{id}/role"), 200, lambda story: story.whole(role="admin"), admin,
        then=lambda _, user: user["role"] == "admin",
    ),
    Row("UpdateUserRole", "PATCH", path("/users/{id}/role"), 200, lambda story: story.whole(role="user"), admin),
    Row(
        "UpdateUserEmail", "PATCH", path("/users/{id}/email"), 200, lambda story: {"email": f"n{story.email}"}, admin,
        then=lambda story, user: user["email"] == f"n{story.email}",
    ),
    Row(
        "DisableUser", "POST", path("/users/{id}/disable"), 200, token=admin,
        then=lambda _, user: user["status"] == "disabled",
    ),
    Row(
        "EnableUser", "POST", path("/users/{id}/enable"), 200, token=admin,
        then=lambda _, user: user["status"] == "enabled",
    ),
    Row("DeleteUser", "DELETE", path("/users/{id}"), 204, token=admin),
]  # fmt: skip


def test_every_request_of_the_go_sdk(system: System) -> None:
    story, transcript = Story(system, admin=system.admin_token()), Transcript("Go SDK, requests replayed")
    try:
        with httpx.Client(base_url=system.url, timeout=30, trust_env=False) as client:
            for row in TABLE:
                _replay(row, story, client, transcript)
    finally:
        transcript.show()


def _replay(row: Row, story: Story, client: httpx.Client, transcript: Transcript) -> None:
    headers = {"Content-Type": "application/json", "User-Agent": "Go-http-client/1.1", **row.headers}
    if row.token is not None:
        headers["Authorization"] = f"Bearer {row.token(story)}"
    where = row.path(story)
    answer = client.request(row.method, where, json=row.body(story) if row.body else None, headers=headers)
    transcript.add(row.call, row.method, where, answer.status_code)
    assert answer.status_code == row.status, f"{row.call}: {answer.text}"
    assert answer.headers["content-type"] == "application/json"
    assert row.then is None or row.then(story, answer.json()), f"{row.call}: {answer.text}"
