"""GET /users/{id}: the whole account for itself and administrators, a card for others (contract §1.6.9)."""

from users.access import SIGNED_IN
from users.edge.http import Reply, Request, operation
from users.errors import NotFound
from users.models import Status, User
from users.repository.accounts import find_caller_and_target
from users.repository.outbox import record
from users.rules import outbox_records
from users.settings import settings


@operation("view_user", access=SIGNED_IN)
def lambda_handler(request: Request) -> Reply:
    """Answer the account. One statement reads the caller and the account."""
    account, user = find_caller_and_target(request.caller.user_id, request.user_id)
    caller = request.admit(account)
    sees_all = request.user_id == caller.id or caller.is_admin
    if sees_all:
        request.admit_for(account, request.user_id)
    if user is None or (user.status == Status.DELETED and not sees_all):
        raise NotFound
    shown = user if sees_all else _card(user)
    if settings().read_events:
        event = outbox_records.user_viewed(shown, request.caller, request.request_id, super_admin=caller.is_admin)
        record(user.id, [event])  # the record ends with the account that it describes
    return Reply(200, shown.as_json())


def _card(user: User) -> User:
    """Return names and metadata, which every caller may see. Status and role are constants (contract §1.5)."""
    return User(
        id=user.id,
        first_name=user.first_name,
        last_name=user.last_name,
        username=user.username,
        metadata=user.metadata,
    )
