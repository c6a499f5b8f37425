"""GET /users/profile: the caller's own account, everything but the secret (contract §1.6.8)."""

from users.access import SIGNED_IN_UNVERIFIED
from users.edge.http import Reply, Request, operation
from users.errors import Unauthenticated
from users.repository import accounts
from users.repository.outbox import record
from users.rules import outbox_records
from users.settings import settings


@operation("view_profile", access=SIGNED_IN_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Answer the account. The same row admits the caller."""
    found = accounts.find_profile(request.caller.user_id)
    if found is None:
        raise Unauthenticated
    account, user = found
    request.admit(account)
    if settings().read_events:
        record(user.id, [outbox_records.profile_viewed(user, request.caller, request.request_id)])
    return Reply(200, user.as_json())
