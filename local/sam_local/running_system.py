"""The system of `make run`, asked for accounts, tokens and mails through its Lambda Invoke API."""

import json
import re
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local import environment as local_environment
from local.sam_local.committed_events import ACCOUNT_ID, PASSWORD, RESET, VERIFICATION, event_of, function_of, set_body

_NO_CHANGES: Mapping[str, str] = {}
_SECONDS = 15.0


class RequestRefused(Exception):
    """The running system refused a request that the events need. The text contains its answer."""


@dataclass(frozen=True)
class Person:
    """An account of the running system, whose password is PASSWORD."""

    id: str
    email: str
    username: str


class RunningSystem:
    """Sends the committed events, with other bodies and tokens, to the Lambda Invoke API of `make run`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """`environment` is the content of the file that `make run` writes for other programs."""
        self._lambda = environment["AWS_ENDPOINT_URL_LAMBDA"]
        self._mails = environment.get("AWS_ENDPOINT_URL_SESV2", "")
        self._wants_verified = environment.get("MG_ALLOW_UNVERIFIED_USER") != "true"
        self._administrator = (
            environment.get("MG_USERS_ADMIN_EMAIL") or local_environment.ADMIN_EMAIL,
            environment.get("MG_USERS_ADMIN_PASSWORD") or local_environment.ADMIN_PASSWORD,
        )

    def log_in(self, identity: str, password: str = PASSWORD) -> dict[str, str]:
        """Return both tokens of a new session. Raise RequestRefused."""
        return dict(self._call("issue_token", {"identity": identity, "secret": password}))

    def log_in_administrator(self) -> str:
        """Return an access token of the administrator. Raise RequestRefused when it has another password."""
        try:
            return self.log_in(*self._administrator)["access_token"]
        except RequestRefused as error:
            raise RequestRefused(
                f"{error}\nThe administrator has another password. Start `make run` with the MG_USERS_ADMIN_EMAIL and"
                " MG_USERS_ADMIN_PASSWORD of its first start."
            ) from error

    def register(self, administrator: str, *, verified: bool = True) -> Person:
        """Make an account as the administrator, because registrations from one address are limited.

        If the service requires verified accounts, the account is verified, unless `verified` is false.
        """
        name = f"john_doe_{uuid.uuid4().hex[:8]}"
        body = event_of("register_user")["body"]
        account = json.loads(body) | {"email": f"{name}@example.com"}
        account["credentials"] |= {"username": name}
        user = self._call("register_user", account, administrator)
        person = Person(user["id"], user["email"], name)
        if verified and self._wants_verified:
            self._call("verify_email", changes={VERIFICATION: self.verification_token(person)})
        return person

    def reset_token(self, person: Person) -> str:
        """Return the token of a link that resets the account's password, or RESET without readable mails."""
        self._call("request_password_reset", {"email": person.email})
        return self._mailed(RESET, person)

    def verification_token(self, person: Person) -> str:
        """Return the token of a link that verifies the account's address, or VERIFICATION without readable mails."""
        self._call("send_verification", token=self.log_in(person.email)["access_token"])
        return self._mailed(VERIFICATION, person)

    def disable(self, person: Person, administrator: str) -> None:
        """Disable an account."""
        self._call("disable_user", None, administrator, {ACCOUNT_ID: person.id})

    def sessions(self, token: str) -> list[str]:
        """Return the ids of an account's refresh tokens. `token` is its access token."""
        answer = self._call("list_refresh_tokens", None, token)
        return [session["id"] for session in answer["refresh_tokens"]]

    def _mailed(self, placeholder: str, person: Person) -> str:
        """Wait for a mail with a token of the placeholder's kind. Return the newest token, or the placeholder."""
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
        """Return the body of an operation's answer to its event with `changes`. Raise RequestRefused."""
        event = event_of(operation, changes)
        event["headers"].pop("authorization", None)
        if token:
            event["headers"]["authorization"] = f"Bearer {token}"
        if body is not None:
            set_body(event, json.dumps(body))
        url = f"{self._lambda}/2015-03-31/functions/{function_of(operation)}/invocations"
        request = urllib.request.Request(url, json.dumps(event).encode(), {"Content-Type": "application/json"})  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as answer:  # noqa: S310 - the local Lambda Invoke API
                reply = json.load(answer)
        except (OSError, ValueError) as error:
            raise RequestRefused(f"`make run` does not answer at {self._lambda}: {error}") from error
        if reply.get("statusCode", 500) >= 400:
            raise RequestRefused(f"{operation} answered {reply.get('statusCode')}: {reply.get('body', reply)}".strip())
        return json.loads(reply.get("body") or "{}")
