"""POST /users/tokens/revoke: revoke one of the caller's own refresh tokens (contract §1.6.4; security.md S32)."""

from users import auth_client, outbox
from users.access import IN_PERSON_UNVERIFIED
from users.body import Body
from users.edge import Reply, Request, operation
from users.errors import BadRequest, NotFound
from users.repository.accounts import find_account
from users.repository.outbox import record
from users.wake import wake_delivery


class Revocation(Body):
    """The id of the token, as ``list_refresh_tokens`` shows it."""

    token_id: str = ""


@operation("revoke_refresh_token", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Auth revokes whatever id it is given, so whose it is is checked here: 404 for an unknown or foreign one."""
    token_id = request.body(Revocation).token_id
    if not token_id:
        raise BadRequest("missing_id", "missing entity id", field="token_id")
    account = request.admit(find_account(request.caller.user_id))
    if token_id not in {token.id for token in auth_client.list_refresh_tokens(account.id)}:
        raise NotFound
    auth_client.revoke(account.id, token_id)
    record(account.id, [outbox.token_revoked(token_id, request.request_id)])
    wake_delivery()
    return Reply(204)
