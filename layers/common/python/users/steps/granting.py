"""Relations in SpiceDB that follow a change of a row. The outbox retries a relation that cannot be written.

SpiceDB and PostgreSQL share no transaction. A writer therefore copies the state of the row to SpiceDB and reads the row
again afterwards. So the last writer has seen the last state. A demotion also leaves an outbox row, which undoes a grant
that was still on its way.
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
    """Write the membership, and the administration of an admin. After a failure the relay or a login writes it."""
    try:
        if role == Role.ADMIN:
            settle(user_id)  # a demotion may be quicker than this
        else:
            spicedb.grant(user_id, role)
    except Unavailable:
        _leave_to_relay(user_id)


def settle(user_id: str) -> None:
    """Make the relations of an account match its row. A removed account has none. Unavailable without SpiceDB."""
    if not settings().spicedb_host:
        return
    role = find_role(user_id)
    spicedb.align(user_id, role)
    while (present := find_role(user_id)) != role:
        role = present
        spicedb.align(user_id, role)


def revoke_administration(user_id: str) -> None:
    """Take the administrator relation away, before the role. Unavailable when SpiceDB does not confirm it.

    SpiceDB may have taken it away without confirming. The relay then makes the relation match the row again.
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
        # The account's next login repairs the relation that neither store would take now.
        logger.warning("relation left to the next login")
