"""Accounts of the tests, their credentials, and the service's records about them."""

import base64
import inspect
import json
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any

import psycopg

from background.delivery.relay import deliver_due
from local.auth import credentials
from local.auth.database import Database
from local.auth.service import Auth
from local.auth.settings import Settings
from local.auth.signing import load_signer
from local.auth.tokens import Role, TokenType
from tests.service import PASSWORD, Answer, Service, handler
from users.peers import spicedb
from users.rules.one_time_tokens import Purpose, digest

NEW_PASSWORD = "another 9 staple horse"
ZERO_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Person:
    """An account, and the tokens of its last login."""

    id: str
    email: str
    username: str
    secret: str
    token: str
    refresh_token: str


def person(service: Service, *, verified: bool = True, **changes: Any) -> Person:
    """Register an account, verify its address and log in. ``changes`` belong to the body of the registration."""
    user = service.register(**changes)
    if verified:
        service.execute("UPDATE users SET verified_at = now(), self_registered = false WHERE id = %s", user["id"])
    nobody = Person(user["id"], user["email"], user["credentials"]["username"], user["secret"], "", "")
    return logged_in(service, nobody)


def administrator(service: Service, **changes: Any) -> Person:
    """Register an administrator, and log in."""
    registered = service.register(**changes)
    service.execute("UPDATE users SET role = 1, verified_at = now() WHERE id = %s", registered["id"])
    spicedb.grant(registered["id"], 1)
    username = registered["credentials"]["username"]
    nobody = Person(registered["id"], registered["email"], username, registered["secret"], "", "")
    return logged_in(service, nobody)


def log_in(service: Service, identity: str, secret: str = PASSWORD, **details: Any) -> Answer:
    """Return the answer to a login. ``details`` belong to ``Service.call``."""
    return service.call("issue_token", {"identity": identity, "secret": secret}, **details)


def logged_in(service: Service, who: Person, secret: str | None = None) -> Person:
    """Return the account with the tokens of another login."""
    secret = secret or who.secret
    answer = log_in(service, who.email, secret)
    assert answer.status == 201, answer.text
    tokens = answer.json
    return replace(who, secret=secret, token=tokens["access_token"], refresh_token=tokens["refresh_token"])


def is_alive(service: Service, token: str) -> bool:
    """Return whether the service accepts an access token."""
    status = service.call("view_profile", token=token).status
    assert status in {200, 401}
    return status == 200


def refresh(service: Service, token: str) -> Answer:
    """Return the answer to a refresh."""
    return service.call("refresh_token", token=token, headers={"content-type": "application/json"})


def claims(token: str) -> dict[str, Any]:
    """Return the claims of a JWT."""
    part = token.split(".")[1]
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def row(service: Service, user_id: str) -> dict[str, Any]:
    """Return an account's row."""
    (found,) = service.execute("SELECT * FROM users WHERE id = %s", user_id)
    return found


def records(service: Service, user_id: str, channel: str) -> list[dict[str, Any]]:
    """Return an account's undelivered outbox rows of a channel, in order."""
    return service.execute(
        "SELECT * FROM users_outbox WHERE user_id = %s AND channel = %s ORDER BY seq", user_id, channel
    )


def event(service: Service, user_id: str, operation: str) -> dict[str, Any]:
    """Return the payload of an account's only undelivered event of an operation, without the keys of every event."""
    (found,) = (each for each in records(service, user_id, "event") if each["name"] == operation)
    payload: dict[str, Any] = found["payload"]
    assert payload.pop("operation") == operation
    assert isinstance(payload.pop("occurred_at"), int)
    assert uuid.UUID(payload.pop("request_id"))
    return payload


def mails(service: Service, user_id: str) -> list[tuple[str, str]]:
    """Return name and address of an account's unsent mails, in order."""
    return [(each["name"], each["payload"].get("email", "")) for each in records(service, user_id, "mail")]


def deliver(channel: str) -> dict[str, int]:
    """Run the relay for one channel."""
    makers = inspect.unwrap(handler("deliver_outbox")).__globals__["_CHANNELS"]
    return deliver_due({channel: makers[channel]}, lambda: True)


def mail_token(
    service: Service, who: Person, purpose: Purpose, *, lifetime: str = "10 minutes", email: str = ""
) -> str:
    """Store a token as the relay does when it sends its mail, and return it. ``lifetime`` may be negative."""
    token = f"{purpose}-{uuid.uuid4()}"
    service.execute(
        "INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)"
        " VALUES (%s, %s, %s, %s, now() + %s::interval)",
        digest(token), who.id, purpose, email or who.email, lifetime,
    )  # fmt: skip
    return token


def relations(service: Service, user_id: str) -> set[str]:
    """Return a user's relations to the platform in the policy store."""
    statement = "SELECT relation FROM auth.relationships WHERE subject_id = %s"
    with psycopg.connect(service.auth_environment["MG_AUTH_DB_URL"]) as connection:
        return {relation for (relation,) in connection.execute(statement, [user_id])}


def token_of_kind(service: Service, user_id: str, kind: str) -> str:
    """Return a credential that Auth makes: access, refresh, recovery, invitation, api_key or pat."""
    settings = Settings.from_environment(service.auth_environment)
    database = _auth_records(settings.database)
    if kind == "pat":
        pat = credentials.PersonalAccessToken.new(uuid.UUID(user_id))
        with database.transaction() as connection:
            credentials.record_pat(connection, pat, "", None)
        return pat.text
    auth = Auth(database, load_signer(settings), settings.durations, strict=False)
    duration = timedelta(hours=1) if kind == "api_key" else None
    token, _ = auth.mint(user_id, Role.USER, TokenType[kind.upper()], verified=True, duration=duration)
    return token


@cache
def _auth_records(url: str) -> Database:
    """Return Auth's records, with one connection for the session."""
    return Database(url)
