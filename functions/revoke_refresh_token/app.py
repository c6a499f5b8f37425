"""POST /users/tokens/revoke: revoke one of the caller's own refresh tokens (contract §1.6.4, S32)."""

from users.access import IN_PERSON_UNVERIFIED
from users.edge.body import Body
from users.edge.http import Reply, Request, operation
from users.errors import BadRequest, NotFound
from users.peers import auth
from users.repository.accounts import find_account
from users.repository.outbox import record
from users.rules import outbox_records
from users.steps.wake import wake_delivery


class Revocation(Body):
    """The id of the token, as ``list_refresh_tokens`` shows it."""

    token_id: str = ""


@operation("revoke_refresh_token", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Answer 404 for an unknown or foreign id. Auth does not check the owner, so the operation does."""
    token_id = request.body(Revocation).token_id
    if not token_id:
        raise BadRequest("missing_id", "missing entity id", field="token_id")
    account = request.admit(find_account(request.caller.user_id))
    if token_id not in {token.id for token in auth.list_refresh_tokens(account.id)}:
        raise NotFound
    auth.revoke(account.id, token_id)
    record(account.id, [outbox_records.token_revoked(token_id, request.request_id)])
    wake_delivery()
    return Reply(204)
