"""Accounts of the measured service, and the requests that they make."""

import base64
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
from builds import Builds
from emulator import Emulator

from local.parts.postgres import PostgresServer

ROOT = Path(__file__).parents[1]
SECRET = "correct horse 7 battery"
Event = dict[str, Any]


def new_name() -> str:
    """Return a username that no other account has."""
    return f"john_{uuid.uuid4().hex[:12]}"


def registration() -> dict[str, Any]:
    """Return the body of a new registration."""
    name = new_name()
    return {
        "first_name": "John",
        "last_name": "Doe",
        "email": f"{name}@example.com",
        "credentials": {"username": name, "secret": SECRET},
    }


def _claims(token: str) -> Any:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class People:
    """Makes an account of the service for each start, by the service's own functions."""

    def __init__(self, register: Emulator, log_in: Emulator, conninfo: str) -> None:
        self._register, self._log_in = register, log_in
        self._connection = psycopg.connect(conninfo, autocommit=True)

    def event(self, operation: str) -> Event:
        """Return a request that succeeds. If it is a change, it wakes the relay, because no run is expected."""
        event = self._event(operation)
        self._connection.execute("UPDATE users_relay SET run_id = NULL, looks_until = '-infinity'")
        return event

    def _event(self, operation: str) -> Event:
        event: Event = json.loads((ROOT / "events" / f"{operation}.json").read_text())
        if operation == "deliver_outbox":  # it should deliver the event of one change, and not wait for more
            self._connection.execute("DELETE FROM users_outbox")
            self._call(self._register, "register_user", registration())
        if "routeKey" not in event or operation in {"health", "openapi", "docs", "password_policy"}:
            return event
        if operation == "register_user":
            return event | {"body": json.dumps(registration())}
        person = self._somebody(admin=operation in {"list_users", "enable_user", "disable_user", "update_user_role"})
        if "authorization" in event["headers"]:
            kind = "refresh_token" if operation == "refresh_token" else "access_token"
            event["headers"]["authorization"] = f"Bearer {person[kind]}"
        event["pathParameters"] = {"id": self._target(operation, person["id"])}
        if body := self._body(operation, person):
            event["body"] = json.dumps(body)
        if operation == "verify_email":
            event["rawQueryString"] = f"token={self._token(person, 'verification')}"
        return event

    def _somebody(self, *, admin: bool) -> dict[str, str]:
        account = registration()
        answer = self._call(self._register, "register_user", account)
        if admin:
            self._connection.execute("UPDATE users SET role = 1 WHERE id = %s", [answer["id"]])
            from users.models import Role
            from users.peers import spicedb

            spicedb.grant(answer["id"], Role.ADMIN)
        login = {"identity": account["email"], "secret": SECRET}
        return {"id": answer["id"], "email": account["email"], **self._call(self._log_in, "issue_token", login)}

    def _call(self, emulator: Emulator, operation: str, body: object) -> dict[str, str]:
        event = json.loads((ROOT / "events" / f"{operation}.json").read_text())
        answer = emulator.invoke(event | {"body": json.dumps(body)})
        if answer.get("statusCode") != 201:
            raise RuntimeError(f"{operation} answers {answer}")
        answered: dict[str, str] = json.loads(answer["body"])
        return answered

    def _target(self, operation: str, person: str) -> str:
        """Return the account of the request's path."""
        if operation in {"enable_user", "disable_user", "update_user_role", "view_user"}:
            target: str = self._call(self._register, "register_user", registration())["id"]
            if operation == "enable_user":
                self._connection.execute("UPDATE users SET status = 1 WHERE id = %s", [target])
            return target
        return person

    def _body(self, operation: str, person: Mapping[str, str]) -> object:
        """Return the body of a request, or None if the body of its event is suitable."""
        name = new_name()
        if operation == "reset_password":
            secret = "a new horse 8 battery"
            return {
                "token": self._token(person, "password_reset"),
                "password": secret,
                "confirm_password": secret,
            }
        bodies: dict[str, object] = {
            "issue_token": {"identity": person["email"], "secret": SECRET},
            "request_password_reset": {"email": person["email"]},
            "revoke_refresh_token": {"token_id": _claims(person["refresh_token"])["jti"]},
            "update_user_email": {"email": f"{name}@example.com"},
            "update_username": {"username": name},
            "update_user_secret": {"old_secret": SECRET, "new_secret": "a new horse 8 battery"},
        }
        return bodies.get(operation)

    def _token(self, person: Mapping[str, str], purpose: str) -> str:
        """Return a token like that in a mail of this purpose."""
        prefix = {"verification": "mgverify_", "password_reset": "mgreset_"}[purpose]
        token = prefix + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        self._connection.execute(
            "INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)"
            " VALUES (%s, %s, %s, %s, now() + interval '1 hour')",
            [sha256(token.encode()).digest(), person["id"], purpose, person["email"]],
        )
        return token


@contextmanager
def accounts(builds: Builds, server: PostgresServer, variables: Mapping[str, str]) -> Iterator[People]:
    """Yield a maker of accounts. Its environments are not the measured ones, and have logs of their own."""
    code = {
        name: replace(builds.code(name, variables), suffix=".accounts.log") for name in ("register_user", "issue_token")
    }
    with Emulator(code["register_user"]) as register, Emulator(code["issue_token"]) as log_in:
        yield People(register, log_in, f"host={server.host} port={server.port} user=postgres dbname=users")
