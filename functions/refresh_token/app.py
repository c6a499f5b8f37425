"""POST /users/tokens/refresh: new tokens for the refresh token that is the bearer (contract §1.6.3, §4.4)."""

from users.access import REFRESHING
from users.edge.authentication import bearer_token
from users.edge.http import Reply, Request, operation
from users.errors import Unauthenticated
from users.peers import auth
from users.repository.accounts import find_account
from users.repository.outbox import record_while_unchanged
from users.rules import outbox_records
from users.steps.sessions import discard, obtain_tokens
from users.steps.wake import wake_delivery


@operation("refresh_token", access=REFRESHING)
def lambda_handler(request: Request) -> Reply:
    """Answer new tokens. The account decides first, because Auth refreshes any token that it issued."""
    request.check_json()
    account = request.admit(find_account(request.caller.user_id))
    token = bearer_token(request.headers)
    tokens = obtain_tokens(account, lambda: auth.refresh(token, verified=account.verified))
    if not record_while_unchanged(account, [outbox_records.token_refreshed(request.request_id)]):
        discard(account.id, tokens)  # the account changed while Auth was asked
        raise Unauthenticated
    wake_delivery()
    return Reply(201, tokens._asdict(), {"Cache-Control": "no-store"})
