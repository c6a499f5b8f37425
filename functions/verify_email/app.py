"""GET and POST /verify-email: prove that an address is one's own (contract §1.6.7, §4.1; decisions.md 14, 29).

A GET verifies only for a program, which says ``application/json``. Anybody else's GET changes nothing and gets a page
whose button posts the token: mail scanners and prefetchers open links (security.md S26).
"""

import base64
import json
from datetime import UTC, datetime

from users import outbox, web
from users.access import ANYBODY
from users.edge import Reply, Request, operation
from users.errors import BadRequest
from users.repository import one_time_tokens, verifications
from users.wake import wake_delivery


@operation("verify_email", access=ANYBODY, error_page=web.error_page_of("verify_email"))
def lambda_handler(request: Request) -> Reply:
    """200 with an empty body for a program; pages for a person."""
    if request.method == "POST":
        _verify(request.form().text("token"), request.request_id)
        return web.message_page(request, 200, "verify_email.done")
    token = request.query.text("token")
    if not token:
        raise _invalid()
    if web.wants_json(request):
        _verify(token, request.request_id)
        return Reply(200)
    return web.form_page(request, "verify_email", token=token, email=_address(token))


def _address(token: str) -> str:
    """The address that the page asks about; BadRequest where the button would be of no use.

    An address out of a token is shown only when upstream really made that token: nobody else writes on our page.
    """
    upstream = _upstream_parts(token)
    if upstream:
        if not verifications.knows_upstream_link(*upstream):
            raise _invalid()
        return upstream[1]
    holder = one_time_tokens.find_holder(token, "verification")
    if holder is None:
        raise _expired() if one_time_tokens.is_known(token, "verification") else _invalid()
    return holder.email


def _verify(token: str, request_id: str) -> None:
    """Use the token, ours or upstream's; BadRequest when it is none, used or expired."""
    at = datetime.now(UTC)
    upstream = _upstream_parts(token)
    if upstream:
        user_id, email, otp = upstream
        records = [outbox.email_verified(user_id, email, request_id, at=at)]
        done = verifications.use_upstream_link(user_id, email, otp, records, at=at)
        known = not done and verifications.knows_upstream_link(user_id, email, otp)
    else:
        holder = one_time_tokens.find_holder(token, "verification")
        records = [outbox.email_verified(holder.user_id, holder.email, request_id, at=at)] if holder else []
        done = holder is not None and one_time_tokens.use_for_verification(token, records, at=at)
        known = not done and one_time_tokens.is_known(token, "verification")
    if known:
        raise _expired()
    if not done:
        raise _invalid()
    wake_delivery()


def _expired() -> BadRequest:
    return BadRequest("verification_expired", "verification expired, please request a new one")


def _invalid() -> BadRequest:
    return BadRequest("invalid_verification", "invalid verification")


def _upstream_parts(token: str) -> tuple[str, str, str] | None:
    """User id, address and one-time password of a token that upstream made; None for any other."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(token))
        values = (parts["user_id"], parts["email"], parts["otp"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return values if all(isinstance(value, str) and value.isprintable() for value in values) else None
