"""Sessions with an Auth that neither rotates refresh tokens nor checks their owners (decisions 15)."""

import time
from collections.abc import Callable

from users.access import Account
from users.errors import Unavailable, UsersError
from users.peers import auth, jwt
from users.repository.outbox import record
from users.rules import outbox_records
from users.steps.wake import wake_delivery
from users.telemetry.log import logger

# A security change sets tokens_valid_from to the start of the next second. A longer wait means a wrong clock.
_LONGEST_WAIT = 1.5
# Refresh tokens of one record, which the relay revokes in seconds, and of all records together.
_REVOCATIONS_OF_RECORD = 200
_MOST_REVOCATIONS = 10_000


def obtain_tokens(account: Account, ask: Callable[[], auth.Tokens]) -> auth.Tokens:
    """Return tokens of ``ask`` that are not older than the account's last security change.

    Within the second of a change, wait for the next second. Unavailable when Auth issues older tokens twice.
    """
    ahead = account.tokens_valid_from - time.time()
    if ahead > _LONGEST_WAIT:
        raise Unavailable("clock", "tokens_valid_from is ahead")
    if ahead > 0:
        time.sleep(ahead)
    for _ in range(2):
        tokens = ask()
        issued_at = jwt.issued_at(jwt.unverified_claims(tokens.access_token))
        if issued_at is not None and issued_at >= account.tokens_valid_from:
            # Where Auth's clock is ahead, a token from the next second would outlive a change within this one.
            ahead = issued_at - time.time()
            if 0 < ahead <= _LONGEST_WAIT:
                time.sleep(ahead)
            return tokens
    raise Unavailable("auth", "tokens are too old")


def discard(user_id: str, tokens: auth.Tokens) -> None:
    """Revoke the refresh token of tokens that no client received (S45)."""
    token_id = jwt.unverified_claims(tokens.refresh_token).get("jti")
    if isinstance(token_id, str):
        record(user_id, [outbox_records.revocation([token_id])])
        wake_delivery()


def revocations(user_id: str) -> list[outbox_records.Record]:
    """Return records that revoke the user's present refresh tokens at Auth. [] when there are none or Auth is away.

    Call this before the change, so that a login right after the change keeps its token. The change itself ends the
    sessions: ``tokens_valid_from`` refuses the old tokens whether or not Auth has revoked them.
    """
    try:
        token_ids = [token.id for token in auth.list_refresh_tokens(user_id)][-_MOST_REVOCATIONS:]
    except UsersError as error:
        logger.warning("refresh tokens are left to expire", error=error.code)
        return []
    starts = range(0, len(token_ids), _REVOCATIONS_OF_RECORD)
    return [outbox_records.revocation(token_ids[start : start + _REVOCATIONS_OF_RECORD]) for start in starts]
