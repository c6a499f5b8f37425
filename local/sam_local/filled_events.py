"""Events of events/ with the tokens, ids and names of real accounts of the running system.

The committed events carry `<access_token>` and a made-up id, so most of them answer 401. Here each gets what it needs.
An event after which others would fail has an account of its own, so that they can be sent in any order.
"""

import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import environment as local_environment
from local.parts.launch import ROOT
from local.private_files import write_private

PASSWORD = "changeMe123"  # noqa: S105 - as the events have it
_ACCOUNT_ID = "4f2b5b0a-6f0e-4c0e-9a34-0b9a3f1f7d11"  # as the events have it
_OF_ADMINISTRATORS = ("list_users", "enable_user", "update_user_role")
_OF_UNVERIFIED = ("send_verification", "verify_email")
_CHANGES_FOR_OTHERS = (
    *_OF_UNVERIFIED,
    "delete_user",
    "disable_user",
    "enable_user",
    "reset_password",
    "revoke_refresh_token",
    "update_user_email",
    "update_user_role",
    "update_user_secret",
)
# One-time tokens of mails, as the events have them.
_VERIFICATION = "mgverify_token"
_RESET = "mgreset_token"
_NO_CHANGES: Mapping[str, str] = {}
_SECONDS = 15.0


class CannotFill(Exception):
    """The system refused what the events need; the text says what."""


@dataclass(frozen=True)
class Person:
    """An account of the running system, whose password is PASSWORD."""

    id: str
    email: str
    username: str


class RunningSystem:
    """The system of `make run`, asked by the Lambda Invoke API with the same events."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` is what `make run` wrote for programs beside it."""
        self._lambda = environment["AWS_ENDPOINT_URL_LAMBDA"]
        self._mails = environment.get("AWS_ENDPOINT_URL_SESV2", "")
        self._wants_verified = environment.get("MG_ALLOW_UNVERIFIED_USER") != "true"
        self._administrator = (
            environment.get("MG_USERS_ADMIN_EMAIL") or local_environment.ADMIN_EMAIL,
            environment.get("MG_USERS_ADMIN_PASSWORD") or local_environment.ADMIN_PASSWORD,
        )

    def log_in(self, identity: str, password: str = PASSWORD) -> dict[str, str]:
        """Return both tokens of a new session; CannotFill when the system refuses."""
        return dict(self._call("issue_token", {"identity": identity, "secret": password}))

    def log_in_administrator(self) -> str:
        """Return an access token of the administrator; CannotFill when its password is another one."""
        try:
            return self.log_in(*self._administrator)["access_token"]
        except CannotFill as error:
            raise CannotFill(
                f"{error}\nThe administrator's password is not the one that is known here: set MG_USERS_ADMIN_EMAIL and"
                " MG_USERS_ADMIN_PASSWORD to those of the first start, at `make run`."
            ) from error

    def register(self, administrator: str, *, verified: bool = True) -> Person:
        """Make an account, by the administrator, because registrations from one address are limited.

        Where only verified accounts may use the service, it is verified, unless it is to stay `verified=False`.
        """
        name = f"john_doe_{uuid.uuid4().hex[:8]}"
        body = _event("register_user")["body"]
        account = json.loads(body) | {"email": f"{name}@example.com"}
        account["credentials"] |= {"username": name}
        user = self._call("register_user", account, administrator)
        person = Person(user["id"], user["email"], name)
        if verified and self._wants_verified:
            self._call("verify_email", changes={_VERIFICATION: self.verification_token(person)})
        return person

    def reset_token(self, person: Person) -> str:
        """Return the token of a link that resets the account's password; as it was where no mail can be read here."""
        self._call("request_password_reset", {"email": person.email})
        return self._mailed(_RESET, person)

    def verification_token(self, person: Person) -> str:
        """Return the token of a link that verifies the account's address; as it was where no mail can be read here."""
        self._call("send_verification", token=self.log_in(person.email)["access_token"])
        return self._mailed(_VERIFICATION, person)

    def disable(self, person: Person, administrator: str) -> None:
        """Disable an account."""
        self._call("disable_user", None, administrator, {_ACCOUNT_ID: person.id})

    def sessions(self, token: str) -> list[str]:
        """Return the ids of the refresh tokens of an account, by its access token."""
        answer = self._call("list_refresh_tokens", None, token)
        return [session["id"] for session in answer["refresh_tokens"]]

    def _mailed(self, placeholder: str, person: Person) -> str:
        """Return the newest token of a kind that was mailed to the account, once there is one."""
        kind = placeholder.partition("_")[0]
        deadline = time.monotonic() + _SECONDS
        while self._mails.startswith("http://") and time.monotonic() < deadline:
            if tokens := re.findall(rf"token=({kind}_\S+)", "\n".join(self._mails_to(person.email))):
                return str(tokens[-1])
            time.sleep(0.1)
        return placeholder

    def _mails_to(self, address: str) -> list[str]:
        with urllib.request.urlopen(f"{self._mails}/store", timeout=_SECONDS) as answer:  # noqa: S310 - the page of mails
            stored = json.load(answer)["emails"]
        return [mail["body"]["text"] for mail in stored if address in mail["destination"]["to"]]

    def _call(
        self, operation: str, body: object = None, token: str = "", changes: Mapping[str, str] = _NO_CHANGES
    ) -> Any:
        """Return what an operation answers to its event, with other texts where `changes` says; CannotFill."""
        event = _event(operation, changes)
        event["headers"].pop("authorization", None)
        if token:
            event["headers"]["authorization"] = f"Bearer {token}"
        if body is not None:
            _set_body(event, json.dumps(body))
        url = f"{self._lambda}/2015-03-31/functions/{function_of(operation)}/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the local Lambda Invoke API
                reply = json.load(answer)
        except (OSError, ValueError) as error:
            raise CannotFill(f"`make run` does not answer at {self._lambda}: {error}") from error
        if reply.get("statusCode", 500) >= 400:
            raise CannotFill(f"{operation} answered {reply.get('statusCode')}: {reply.get('body', reply)}".strip())
        return json.loads(reply.get("body") or "{}")


def write_events(environment: Mapping[str, str], folder: Path) -> None:
    """Write every event of events/ into `folder`, which only its owner may read. CannotFill, as RunningSystem."""
    system = RunningSystem(environment)
    administrator = system.log_in_administrator()
    shared = system.register(administrator)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted((ROOT / "events").glob("*.json")):
        person = shared
        if path.stem in _CHANGES_FOR_OTHERS:
            person = system.register(administrator, verified=path.stem not in _OF_UNVERIFIED)
        event = _filled(path.stem, system, person, administrator)
        write_private(folder / path.name, json.dumps(event, indent=2) + "\n")


def function_of(operation: str) -> str:
    """Return the logical id of an operation's function in template.yaml."""
    return "".join(word.title() for word in operation.split("_")) + "Function"


def _filled(operation: str, system: RunningSystem, person: Person, administrator: str) -> dict[str, Any]:
    if operation == "check_version":  # its event names a deployment of CodeDeploy, which is not here
        return {"check": "readiness"}
    if operation == "register_user":  # this one makes an account, so its name is nobody's yet
        name = f"john_doe_{uuid.uuid4().hex[:8]}"
        return _event(operation, {"john.doe@": f"{name}@", "john_doe": name})
    tokens = system.log_in(person.email)
    if operation in _OF_ADMINISTRATORS:
        tokens["access_token"] = administrator
    new_name = f"jane_doe_{uuid.uuid4().hex[:8]}"
    changes = {
        "<access_token>": tokens["access_token"],
        "<refresh_token>": tokens["refresh_token"],
        "john.doe@example.com": person.email,
        "jane.doe@example.com": f"{new_name}@example.com",
        "jane_doe": new_name,
        _ACCOUNT_ID: system.sessions(tokens["access_token"])[0] if operation == "revoke_refresh_token" else person.id,
    }
    if operation == "reset_password":
        changes[_RESET] = system.reset_token(person)
    if operation == "enable_user":
        system.disable(person, administrator)
    if operation == "verify_email":
        changes[_VERIFICATION] = system.verification_token(person)
    return _event(operation, changes)


def _event(operation: str, changes: Mapping[str, str] = _NO_CHANGES) -> dict[str, Any]:
    """Return the event of events/, with other texts where `changes` says, and the length that its body then has."""
    text = json.dumps(json.loads((ROOT / "events" / f"{operation}.json").read_text()))
    for old, new in changes.items():
        text = text.replace(old, new)
    event: dict[str, Any] = json.loads(text)
    if "requestContext" in event and "body" in event:
        _set_body(event, event["body"])
    return event


def _set_body(event: dict[str, Any], body: str) -> None:
    event["body"] = body
    event["headers"] |= {"content-type": "application/json", "content-length": str(len(body.encode()))}
