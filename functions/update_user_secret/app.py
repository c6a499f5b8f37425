"""PATCH /users/secret: change the caller's password (contract §1.6.18, decisions 15, S20, S59)."""

from datetime import UTC, datetime

from users.access import IN_PERSON
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest, Forbidden, Unauthenticated
from users.repository import changes, logins
from users.rules import outbox_records, passwords
from users.rules.broken_rules import all_rules
from users.steps.password_checks import accepted, allowed
from users.steps.sessions import revocations
from users.steps.target import changed


class SecretUpdate(Body):
    """The current password and the new one."""

    old_secret: str = ""
    new_secret: str = ""


@operation("update_user_secret", access=IN_PERSON)
def lambda_handler(request: Request) -> Reply:
    """Change the password. All sessions end, this one too, and the account's address gets a notice."""
    body = request.body(SecretUpdate)
    with all_rules() as rules:
        rules.check(_check_given, body.old_secret, "old_secret")
        rules.check(passwords.check_password_rules, body.new_secret, username="", email="", field="new_secret")
    attempt = allowed(logins.begin_password_check(request.caller.user_id, request.address))
    if attempt.login is None:
        raise Unauthenticated
    account = request.admit(attempt.login.account)
    right = passwords.verify_password(attempt.login.secret_hash, body.old_secret)
    login = accepted(attempt, request.address, right=right)
    if login is None or not logins.confirm_password(login, request.address):
        raise Forbidden("wrong_password", "current password is wrong")
    passwords.check_password_rules(body.new_secret, username=login.username, email=login.email, field="new_secret")
    passwords.check_changed(body.new_secret, login.secret_hash, old=body.old_secret, field="new_secret")
    at = datetime.now(UTC)
    event = outbox_records.user_changed(
        "user.update_secret", request.caller, request.request_id, at=at, super_admin=account.is_admin
    )
    notice = outbox_records.notice_mail("password_changed", login.email, at=at, address=request.address)
    records = [event, notice, *revocations(account.id)]
    new_hash = passwords.hash_password(body.new_secret)
    user = changes.update_secret(account.id, login.secret_hash, new_hash, records, at=at)
    if user is None:
        raise Forbidden("wrong_password", "current password is wrong")
    return changed(user)


def _check_given(password: str, field: str) -> None:
    if not password:
        raise BadRequest("missing_password", "missing password", field=field)
