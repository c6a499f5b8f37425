"""PUT /password/reset, and the page of the link in the mail (contract §1.6.23, §4.2, decisions 8, 14, 35).

Only the token of a reset mail or an invitation sets a password: no session, and no token of Auth (S23). A reset does
not log in. It ends every session and sends a notice to the account's address (S28). It proves the mailbox, so it
verifies the address as well (S55, S62).
"""

from datetime import UTC, datetime

from users.access import ANYBODY
from users.edge import pages
from users.edge.authentication import bearer_token
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest
from users.repository import one_time_tokens
from users.repository.outbox import record
from users.rules import outbox_records, passwords
from users.rules.broken_rules import all_rules
from users.rules.one_time_tokens import Purpose
from users.steps.sessions import revocations
from users.steps.wake import wake_delivery

_PURPOSES: tuple[Purpose, ...] = ("password_reset", "invitation")
# The texts of the page (users.edge.pages.texts).
_TEXTS: dict[Purpose, str] = {"password_reset": "reset_password", "invitation": "invitation"}


class PasswordReset(Body):
    """The new password. The token may come as bearer or here, because SDKs send both."""

    token: str = ""
    password: str = ""
    confirm_password: str = ""


@operation("reset_password", access=ANYBODY, error_page=pages.error_page_of("reset_password"))
def lambda_handler(request: Request) -> Reply:
    """Answer 201 with an empty object to a program, and a page to a person."""
    if request.method == "PUT":
        token = bearer_token(request.headers) if "authorization" in request.headers else ""
        body = request.body(PasswordReset)
        token = token or body.token or bearer_token(request.headers)
        _reset(request, token, body.password, body.confirm_password)
        return Reply(201, {}, {"Cache-Control": "no-store"})
    if request.method == "POST":
        return _post(request)
    return _form(request, request.query.text("token"))


def _post(request: Request) -> Reply:
    form = request.form()
    token = form.text("token")
    if form.text("action") == pages.RENEW:
        return _renew(request, token)
    try:
        purpose = _reset(request, token, form.text("password"), form.text("confirm_password"))
    except BadRequest as error:
        if error.code in pages.UNUSABLE:
            raise
        return _form(request, token, problem=error.code)
    return pages.message_page(request, 200, f"{_TEXTS[purpose]}.done")


def _form(request: Request, token: str, problem: str = "") -> Reply:
    """Return the form. BadRequest for a token that cannot be used."""
    holder = one_time_tokens.find_holder(token, *_PURPOSES)
    if holder is None:
        raise _unusable(request, token)
    request.locale = holder.locale
    return pages.form_page(
        request,
        _TEXTS[holder.purpose],
        template="reset_password",
        problem=problem,
        token=token,
        account=holder.username or holder.email,
        email=holder.email,
    )


def _reset(request: Request, token: str, password: str, confirmation: str) -> Purpose:
    """Check in the contract's order, then set the password. Return the purpose of the token.

    BadRequest for a token that cannot be used.
    """
    with all_rules() as rules:
        rules.check(_check_confirmation, password, confirmation)
        rules.check(passwords.check_password_rules, password, username="", email="", field="password")
    holder = one_time_tokens.find_holder(token, *_PURPOSES)
    if holder is None:
        raise _unusable(request, token)
    request.locale = holder.locale
    passwords.check_password_rules(password, username=holder.username, email=holder.email, field="password")
    # After the token, so that nobody without a token learns the old password (S59).
    passwords.check_changed(password, holder.secret_hash, field="password")
    at = datetime.now(UTC)
    records = [
        outbox_records.secret_reset(request.request_id),
        outbox_records.email_verified(holder.user_id, holder.email, request.request_id, at=at),
        outbox_records.notice_mail("password_changed", holder.email, at=at, address=request.address, proven=True),
        *revocations(holder.user_id),
    ]
    new_hash = passwords.hash_password(password)
    if not one_time_tokens.use_for_reset(token, new_hash, records, at=at):
        raise _unusable(request, token)
    wake_delivery()
    return holder.purpose


def _check_confirmation(password: str, confirmation: str) -> None:
    """Check in upstream's order, which begins with the password itself."""
    if not password:
        raise BadRequest("missing_password", "missing password", field="password")
    if not confirmation:
        raise BadRequest("missing_confirmation", "missing conf password", field="confirm_password")
    if password != confirmation:
        detail = "confirm_password must be the same as password"
        raise BadRequest("passwords_differ", "invalid reset password", field="confirm_password", detail=detail)


def _renew(request: Request, token: str) -> Reply:
    """Send another mail to the account of the token. The answer is the same whether or not a mail is sent."""
    addressee = one_time_tokens.find_addressee(token, *_PURPOSES)
    if addressee is None:
        raise _unusable(request, token)
    request.locale = addressee.locale
    if addressee.email:
        record(None, [outbox_records.reset_request(addressee.email, request.request_id)])
        wake_delivery()
    return pages.message_page(request, 200, "reset_password.renewed")


def _unusable(request: Request, token: str) -> BadRequest:
    """Return the error of a used or expired token, or of a token that was never issued."""
    addressee = one_time_tokens.find_addressee(token, *_PURPOSES)
    if addressee is None:
        return BadRequest("invalid_verification", "invalid verification", field="token")
    request.locale = addressee.locale
    return BadRequest("verification_expired", "verification expired, please request a new one", field="token")
