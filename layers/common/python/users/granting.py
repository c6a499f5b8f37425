"""Granting relations after a commit, and leaving what fails to the outbox (architecture.md, "Policies")."""

from users import policies
from users.errors import Unavailable
from users.log import logger
from users.outbox import relation_repair
from users.repository.outbox import record


def grant_or_repair(user_id: str, role: int) -> None:
    """Write the membership (and administration); what cannot be written now, the relay or the next login writes."""
    try:
        policies.grant(user_id, role)
    except Unavailable:
        logger.warning("relation left to the outbox")
        try:
            record(user_id, [relation_repair(user_id, role)])
        except Unavailable:
            # The change is committed; the account's next login repairs what neither store would take now.
            logger.warning("relation left to the next login")
