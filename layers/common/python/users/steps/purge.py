"""Removal of an account for good: its domains and relations first, then its rows (decisions 17, contract §4.6)."""

from users.errors import Unavailable
from users.peers import domains, spicedb
from users.repository import purges
from users.repository.purges import Claim
from users.rules.outbox_records import account_purged
from users.steps.wake import wake_delivery
from users.telemetry.log import logger


def purge(claim: Claim, request_id: str) -> None:
    """Remove a claimed account. When its relations cannot be removed, release the claim and raise Unavailable."""
    (user_id,) = claim.user_ids
    try:
        detach(user_id)
    except Unavailable:
        purges.release(claim)
        raise
    purges.remove(claim, account_purged(request_id))
    wake_delivery()


def purge_now_or_later(claim: Claim, request_id: str) -> None:
    """Remove a claimed account. When its relations cannot be removed now, leave the claim to the sweep."""
    (user_id,) = claim.user_ids
    try:
        detach(user_id)
    except Unavailable as error:
        logger.warning("the removal is left to the sweep", dependency=error.dependency)
    else:
        purges.remove(claim, account_purged(request_id))
    wake_delivery()


def detach(user_id: str) -> None:
    """Remove the account's domain memberships and relations. It may run again. Unavailable without a peer."""
    domains.delete_user(user_id)
    spicedb.revoke_everything(user_id)
