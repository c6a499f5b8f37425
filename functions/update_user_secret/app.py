"""PATCH /users/secret: change one's own password (contract §1.6.18; decisions.md 15; security.md S20, S59)."""

from datetime import UTC, datetime

from users import outbox, passwords
from users.access import IN_PERSON
from users.body import Body
from users.edge import Reply, Request, operation
from users.errors import BadRequest, Forbidden, Unauthenticated
from users.password_checks import accepted, allowed
from users.repository import changes, logins
from users.rules import all_rules
from users.sessions import revocations
from users.target import changed


class SecretUpdate(Body):
    """The password that counts now, and the new one."""

    old_secret: str = ""
    new_secret: str = ""


@operation("update_user_secret", access=IN_PERSON)
def lambda_handler(request: Request) -> Reply:
    """Ends all sessions, this one too, and tells the account's address."""
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
    event = outbox.user_changed(
        "user.update_secret", request.caller, request.request_id, at=at, super_admin=account.is_admin
    )
    notice = outbox.notice_mail("password_changed", login.email, at=at, address=request.address)
    records = [event, notice, *revocations(account.id)]
    new_hash = passwords.hash_password(body.new_secret)
    user = changes.update_secret(account.id, login.secret_hash, new_hash, records, at=at)
    if user is None:
        raise Forbidden("wrong_password", "current password is wrong")
    return changed(user)


def _check_given(password: str, field: str) -> None:
    if not password:
        raise BadRequest("missing_password", "missing password", field=field)
