"""GET and POST /verify-email: prove the account's address (contract §1.6.7, §4.1, decisions 14, 29, 35).

A GET verifies only for a program, whose headers name ``application/json``. Any other GET changes nothing and gets a
page whose buttons post the token, because mail scanners and prefetchers open links (S26). One button verifies. The
other removes an account that registered itself and was never verified (S55). The page of an expired link has a button
that mails a new link.
"""

import base64
import json
from datetime import UTC, datetime

from users.access import ANYBODY
from users.edge import pages
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest
from users.repository import one_time_tokens, verifications
from users.repository.one_time_tokens import Addressee, Holder
from users.rules import outbox_records
from users.steps.wake import wake_delivery


@operation("verify_email", access=ANYBODY, error_page=pages.error_page_of("verify_email"))
def lambda_handler(request: Request) -> Reply:
    """Answer 200 with an empty body to a program, and a page to a person."""
    if request.method == "POST":
        return _post(request)
    token = request.query.text("token")
    if not token:
        raise _invalid()
    if pages.wants_json(request):
        _verify(request, token)
        return Reply(200)
    holder = _holder(request, token)
    return pages.form_page(
        request,
        "verify_email",
        below="remove_account" if holder.is_removable else "leave_unconfirmed",
        token=token,
        email=holder.email,
        username=holder.username or "–",
        registered=_moment(holder.registered_at),
    )


def _post(request: Request) -> Reply:
    """Run the action of the pressed button. BadRequest for an action that no button has."""
    form = request.form()
    token, action = form.text("token"), form.text("action")
    if action == "remove":
        _remove(request, token)
        return pages.message_page(request, 200, "verify_email.removed")
    if action == pages.RENEW:
        _renew(request, token)
        return pages.message_page(request, 200, "verify_email.renewed")
    if action:
        raise _invalid()
    _verify(request, token)
    return pages.message_page(request, 200, "verify_email.done")


def _holder(request: Request, token: str) -> Holder:
    """Return the account that the page is about. BadRequest for a token that the buttons could not use.

    The page shows an address out of a token only when upstream issued that token. Nobody else writes on our page.
    """
    upstream = _upstream_parts(token)
    holder = (
        verifications.find_upstream_holder(*upstream)
        if upstream
        else one_time_tokens.find_holder(token, "verification")
    )
    if holder is None:
        raise _unusable(request, token)
    request.locale = holder.locale
    return holder


def _verify(request: Request, token: str) -> None:
    """Use the token, of ours or of upstream. BadRequest for an unknown, used or expired one."""
    at = datetime.now(UTC)
    upstream = _upstream_parts(token)
    if upstream:
        user_id, email, otp = upstream
        records = [outbox_records.email_verified(user_id, email, request.request_id, at=at)]
        done = verifications.use_upstream_link(user_id, email, otp, records, at=at)
    else:
        holder = one_time_tokens.find_holder(token, "verification")
        request.locale = holder.locale if holder else ""
        records = (
            [outbox_records.email_verified(holder.user_id, holder.email, request.request_id, at=at)] if holder else []
        )
        done = holder is not None and one_time_tokens.use_for_verification(token, records, at=at)
    if not done:
        raise _unusable(request, token)
    wake_delivery()


def _renew(request: Request, token: str) -> None:
    """Mail a new link to the account of the token, if its address is not verified yet.

    The answer is the same in both cases. The limits of mails that are asked for after a login hold here too (S12).
    """
    from users.repository.mails import record_verification
    from users.rules.mailboxes import mailbox_digest  # few links expire

    addressee = _addressee(token)
    if addressee is None:
        raise _invalid()
    request.locale = addressee.locale
    if addressee.email:
        records = [outbox_records.verification_mail(addressee.email)]
        if record_verification(addressee.user_id, mailbox_digest(addressee.email), records):
            wake_delivery()


def _addressee(token: str) -> Addressee | None:
    """Return the account that a token was mailed to. The token may be used or expired."""
    upstream = _upstream_parts(token)
    if upstream:
        return verifications.find_upstream_addressee(*upstream)
    return one_time_tokens.find_addressee(token, "verification")


def _remove(request: Request, token: str) -> None:
    """Remove the token's account for good. BadRequest, and no change, for an account that was ever verified."""
    from users.steps.purge import purge_now_or_later  # imports grpc, which confirming an address does not need
    from users.steps.sessions import revocations

    holder = one_time_tokens.find_holder(token, "verification")
    if holder is None:
        raise _unusable(request, token)
    request.locale = holder.locale
    if not holder.is_removable:
        raise _invalid()
    claim = one_time_tokens.claim_never_verified(token, revocations(holder.user_id), at=datetime.now(UTC))
    if claim is None:
        raise _unusable(request, token)
    purge_now_or_later(claim, request.request_id)


def _moment(moment: datetime | None) -> str:
    """Return a time in UTC in digits, or a dash where none was stored. The zero time of upstream is none."""
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment and moment.year > 1 else "–"


def _unusable(request: Request, token: str) -> BadRequest:
    """Return the error of a used or expired token, or of a token that was never issued."""
    addressee = _addressee(token)
    if addressee is None:
        return _invalid()
    request.locale = addressee.locale
    return BadRequest("verification_expired", "verification expired, please request a new one", field="token")


def _invalid() -> BadRequest:
    return BadRequest("invalid_verification", "invalid verification", field="token")


def _upstream_parts(token: str) -> tuple[str, str, str] | None:
    """Return user id, address and one-time password of an upstream token. None for any other."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(token))
        values = (parts["user_id"], parts["email"], parts["otp"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return values if all(isinstance(value, str) and value.isprintable() for value in values) else None
