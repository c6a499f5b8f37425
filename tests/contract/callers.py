"""Accounts with a session for the contract tests. They log in again after a call that ended the session."""

from dataclasses import dataclass, field
from typing import Any

from tests.service import registration
from tests.system import System

# The password in the examples of the document, so that the examples are valid for these accounts.
PASSWORD = "changeMe123"


@dataclass(frozen=True)
class Operator:
    """The administrator that bootstrap made."""

    id: str
    token: str


@dataclass
class Caller:
    """An account of ``role`` and its session. ``operator``, which no test changes, makes the accounts."""

    system: System
    operator: Operator
    role: str
    user: dict[str, Any] = field(init=False)
    access_token: str = field(init=False)
    refresh_token: str = field(init=False)

    def __post_init__(self) -> None:
        self.begin()

    @property
    def id(self) -> str:
        user_id: str = self.user["id"]
        return user_id

    @property
    def username(self) -> str:
        username: str = self.user["credentials"]["username"]
        return username

    def begin(self) -> None:
        """Become a new account, and log in even if fuzzing has reached the limits of this address."""
        self.system.execute("DELETE FROM users_throttle")
        self.user = self.somebody(role=self.role)
        answer = self.system.log_in(self.user["email"], PASSWORD)
        assert answer.status_code == 201, answer.text
        self.access_token, self.refresh_token = answer.json()["access_token"], answer.json()["refresh_token"]

    def somebody(self, **changes: Any) -> dict[str, Any]:
        """Return another new account, made by the operator."""
        body = registration(credentials={"secret": PASSWORD}, **changes)
        answer = self.system.call("POST", "/users", body, token=self.operator.token)
        assert answer.status_code == 201, answer.text
        user: dict[str, Any] = answer.json()
        return user

    def stay(self) -> None:
        """Begin again if the session was ended."""
        if self.system.call("GET", "/users/profile", token=self.access_token).status_code == 401:
            self.begin()
