"""POST /users/send-verification: mail the caller a verification link (contract §1.6.6, §4.1, decisions 11)."""

from users.access import IN_PERSON_UNVERIFIED
from users.edge.http import Reply, Request, operation
from users.errors import Conflict, Unauthenticated
from users.repository.accounts import find_profile
from users.repository.mails import record_verification
from users.rules import outbox_records
from users.rules.mailboxes import mailbox_digest
from users.steps.wake import wake_delivery


@operation("send_verification", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Answer 409 for a verified address. A second call within a minute succeeds and sends nothing (S12)."""
    found = find_profile(request.caller.user_id)
    if found is None:
        raise Unauthenticated
    account, user = found
    request.admit(account)
    if user.verified_at is not None:
        raise Conflict("already_verified", "user already verified")
    records = [
        outbox_records.verification_sent(user.id, request.caller, request.request_id),
        outbox_records.verification_mail(user.email),
    ]
    if record_verification(user.id, mailbox_digest(user.email), records):
        wake_delivery()
    return Reply(200)
