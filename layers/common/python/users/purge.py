"""Removing an account for good (decisions.md 17; contract §4.6): its relations first, then every row of it."""

from users import policies
from users.outbox import account_purged
from users.repository.purges import remove
from users.wake import wake_delivery


def purge(user_id: str, request_id: str) -> None:
    """Remove a deleted account. Unavailable when its relations cannot be removed; the account is left deleted then."""
    policies.revoke_everything(user_id)
    remove(user_id, [account_purged(user_id, request_id)])
    wake_delivery()
