"""PATCH /users/{id}/email: a new, unverified address (contract §1.6.16; decisions.md 20)."""

from users import outbox
from users.access import IN_PERSON_UNVERIFIED
from users.body import Body
from users.edge import Reply, Request, operation
from users.errors import BadRequest
from users.fields import check_email, check_external_provider
from users.repository import changes
from users.target import changed, find_target


class EmailUpdate(Body):
    """The new address."""

    email: str = ""


@operation("update_user_email", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Self or administrator. The new address gets a verification mail, the old one is told."""
    user_id = request.user_id
    email = request.body(EmailUpdate).email
    if not email:
        raise BadRequest("invalid_email", "invalid email")
    check_email(email)
    target = find_target(request, "user.update_email")
    check_external_provider(target.user, {"email": email})
    if email == target.user.email:
        raise BadRequest("same_email", "new email is similar to the current email")
    notice = outbox.notice_mail("email_changed", target.user.email, at=target.at, address=request.address)
    records = [target.event, notice]
    mails = [outbox.verification_mail(email)]
    return changed(changes.update_email(user_id, email, records, mails, by=target.caller.id, at=target.at))
