"""GET /users/tokens/refresh-tokens: the caller's refresh tokens (contract §1.6.5; decisions.md 25)."""

from users import auth_client
from users.access import IN_PERSON_UNVERIFIED
from users.edge import Reply, Request, operation
from users.repository.accounts import find_account


@operation("list_refresh_tokens", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Ids and descriptions, the next to expire first."""
    account = request.admit(find_account(request.caller.user_id))
    tokens = [
        {"id": token.id, **({"description": token.description} if token.description else {})}
        for token in auth_client.list_refresh_tokens(account.id)
    ]
    return Reply(200, {"refresh_tokens": tokens}, {"Cache-Control": "no-store"})
