"""Relations that follow a change of a row, and leaving what fails to the outbox (architecture.md, "Policies").

SpiceDB and PostgreSQL share no transaction. What is written to SpiceDB is therefore what the row says, and the row is
read again afterwards: whoever writes last has seen the last state. A demotion leaves an outbox row behind, so that a
grant which was on its way is undone.
"""

from users.errors import Unavailable
from users.models import Role
from users.peers import spicedb
from users.repository.accounts import find_role
from users.repository.outbox import record
from users.rules.outbox_records import relation_repair
from users.settings import settings
from users.telemetry.log import logger


def grant_or_repair(user_id: str, role: int) -> None:
    """Write the membership (and administration); what cannot be written now, the relay or the next login writes."""
    try:
        if role == Role.ADMIN:
            settle(user_id)  # a demotion may be quicker than this
        else:
            spicedb.grant(user_id, role)
    except Unavailable:
        _leave_to_relay(user_id)


def settle(user_id: str) -> None:
    """Make the relations of an account what its row says now: none when it is gone or being removed. Unavailable."""
    if not settings().spicedb_host:
        return
    role = find_role(user_id)
    spicedb.align(user_id, role)
    while (present := find_role(user_id)) != role:
        role = present
        spicedb.align(user_id, role)


def revoke_administration(user_id: str) -> None:
    """Take the administrator relation away, before the role is. Unavailable when SpiceDB does not say that it did.

    It may have done it all the same: the relay makes the relation again what the row says.
    """
    try:
        spicedb.revoke_administration(user_id)
    except Unavailable:
        _leave_to_relay(user_id)
        raise


def _leave_to_relay(user_id: str) -> None:
    logger.warning("relation left to the outbox")
    try:
        record(user_id, [relation_repair(user_id)])
    except Unavailable:
        # The account's next login repairs what neither store would take now.
        logger.warning("relation left to the next login")
