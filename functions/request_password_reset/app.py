"""POST /password/reset-request: ask for a mail with a reset link (contract §1.6.22).

The answer and the work are the same for every address, known or not (S4). One row goes to the outbox, and the relay
finds out whether an account has that address.
"""

from users.access import ANYBODY
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest
from users.repository.outbox import record
from users.rules import outbox_records
from users.rules.fields import check_length
from users.steps.wake import wake_delivery


class ResetRequest(Body):
    """The address of the account. Other keys (``host``) and the ``Referer`` are ignored (S27)."""

    email: str = ""


@operation("request_password_reset", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """Record the request and answer."""
    email = request.body(ResetRequest).email
    if not email:
        raise BadRequest("missing_email", "missing email", field="email")
    check_length(email, "email")
    record(None, [outbox_records.reset_request(email, request.request_id)])
    wake_delivery()
    return Reply(201, {"msg": "Email with reset link is sent"})
