"""Removing an account for good (decisions.md 17; contract §4.6): its domains and relations first, then its rows."""

from users.errors import Unavailable
from users.peers import domains, spicedb
from users.repository import purges
from users.repository.purges import Claim
from users.rules.outbox_records import account_purged
from users.steps.wake import wake_delivery
from users.telemetry.log import logger


def purge(claim: Claim, request_id: str) -> None:
    """Remove a claimed account. Unavailable when its relations cannot be removed: it is left deleted, unclaimed."""
    (user_id,) = claim.user_ids
    try:
        detach(user_id)
    except Unavailable:
        purges.release(claim)
        raise
    purges.remove(claim, account_purged(request_id))
    wake_delivery()


def purge_now_or_later(claim: Claim, request_id: str) -> None:
    """Remove a claimed account; where its relations cannot be removed now, the claim stays and the sweep goes on."""
    (user_id,) = claim.user_ids
    try:
        detach(user_id)
    except Unavailable as error:
        logger.warning("the removal is left to the sweep", dependency=error.dependency)
    else:
        purges.remove(claim, account_purged(request_id))
    wake_delivery()


def detach(user_id: str) -> None:
    """Take a user out of its domains, and its relations away; doing so again is harmless. Unavailable."""
    domains.delete_user(user_id)
    spicedb.revoke_everything(user_id)
