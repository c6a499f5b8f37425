"""Changing an expired password inside the login, without a mail (decisions 12, S59).

A password that has not expired is changed by ``PATCH /users/secret`` only. That operation needs a session, so a stolen
password alone is not enough.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import NoReturn

from users.access import Session, TokenType
from users.edge.http import Request
from users.errors import BadRequest, Unauthenticated
from users.models import Status
from users.repository import changes, logins
from users.repository.accounts import find_account
from users.rules import outbox_records, passwords
from users.rules.attempts import Login
from users.steps.sessions import revocations
from users.telemetry.metrics import count


def refuse_change(login: Login, request: Request) -> NoReturn:
    """Raise BadRequest, because the password has not expired. Unauthenticated when it was changed meanwhile.

    The password was right, so earlier failures are forgotten.
    """
    if not logins.confirm_password(login, request.address):
        raise _wrong_password()
    message = "password has not expired, change it by PATCH /users/secret"
    raise BadRequest("password_not_expired", message, field="new_secret")


def change_expired(login: Login, request: Request, *, old: str, new: str) -> Login:
    """Replace the expired and verified password ``old``. Return the login with the new password.

    Like ``PATCH /users/secret`` this writes the event and the notice, and ends all sessions. BadRequest when the new
    password breaks a rule. Unauthenticated when the password was changed meanwhile, so that ``old`` is wrong.
    """
    passwords.check_password_rules(new, username=login.username, email=login.email, field="new_secret")
    passwords.check_changed(new, login.secret_hash, old=old, field="new_secret")
    account, at = login.account, datetime.now(UTC)
    session = Session(user_id=account.id, token_type=TokenType.ACCESS)
    records = [
        outbox_records.user_changed(
            "user.update_secret", session, request.request_id, at=at, super_admin=account.is_admin
        ),
        outbox_records.notice_mail("password_changed", login.email, at=at, address=request.address),
        *revocations(account.id),
    ]
    new_hash = passwords.hash_password(new)
    if changes.update_secret(account.id, login.secret_hash, new_hash, records, at=at) is None:
        raise _wrong_password()
    changed = find_account(account.id)  # for its new tokens_valid_from
    if changed is None or changed.status != Status.ENABLED:
        raise _wrong_password()
    return replace(login, account=changed, secret_hash=new_hash, secret_age=0.0)


def _wrong_password() -> Unauthenticated:
    count("LoginsFailed")
    return Unauthenticated("invalid_credentials", "invalid credentials")
