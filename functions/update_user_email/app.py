"""PATCH /users/{id}/email: a new, unverified address (contract §1.6.16, decisions 20)."""

from users.access import IN_PERSON_UNVERIFIED
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest
from users.repository import changes
from users.rules import outbox_records
from users.rules.email_addresses import canonical_email
from users.rules.fields import check_external_provider, invalid_email
from users.rules.mailboxes import mailbox_digest
from users.steps.target import changed, find_target, notice


class EmailUpdate(Body):
    """The new address."""

    email: str = ""


@operation("update_user_email", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Change the own address or, as administrator, any. The new address gets a verification mail.

    The old address gets a notice if it was verified. An account changes its own address five times a day at most, so
    that neither mail floods a mailbox.
    """
    user_id = request.user_id
    typed = request.body(EmailUpdate).email
    if not typed:
        raise invalid_email()
    email = canonical_email(typed)
    target = find_target(request, "user.update_email")
    if typed == target.user.email:  # a taken-over database may spell it so
        email = typed
    check_external_provider(target.user, {"email": email})
    if email == target.user.email:
        raise BadRequest("same_email", "new email is similar to the current email", field="email")
    records = [target.event, notice(request, target, "email_changed")]
    mails = [outbox_records.verification_mail(email)]
    user = changes.update_email(
        user_id, email, records, mails, mailbox=mailbox_digest(email), by=target.caller.id, at=target.at
    )
    return changed(user)
