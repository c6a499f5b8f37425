"""Removing accounts for good: claiming them, and deleting every trace of them from the database (decisions 18).

A claim is ``purging_at``. Nobody restores a claimed account. Its time identifies the holder of the claim: a run that
took longer than ``LEASE``, and was overtaken by another run, deletes and reports nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from users.repository.database import query
from users.repository.outbox import INSERT_REMOVAL_EVENTS, REMOVE_UNDELIVERED
from users.repository.statements import Part, Statement
from users.repository.suppressions import REMOVE_SUPPRESSIONS
from users.repository.throttles import REMOVE_LIMITS
from users.rules.outbox_records import Record

LEASE = 600  # seconds after which a claim belongs to a dead run

# The condition on ``users u`` for accounts that the owner of their mailbox, or the sweep, may remove because nobody
# verified them: they registered themselves and were never verified. It excludes administrators (decisions 35).
NEVER_VERIFIED = """u.self_registered AND u.verified_at IS NULL AND u.status = 0 AND u.role IS DISTINCT FROM 1
    AND u.purging_at IS NULL"""


@dataclass(frozen=True, slots=True)
class Claim:
    """Accounts that the holder of this claim has been removing since ``at``."""

    user_ids: Sequence[str]
    at: datetime


def removal(name: str, chosen: str) -> Statement:
    """Return the statement that removes the accounts whose ids the SELECT ``chosen`` finds.

    It returns ``removed``, their number. Its parameters are those of ``chosen`` and of ``removal_event``.
    Verifications, mail tokens and known addresses go by cascade.
    """
    return Statement(
        name,
        Part("chosen", chosen, gives=("id",), materialized=True),
        Part(
            "changed",
            """
            DELETE FROM users u USING chosen WHERE u.id = chosen.id RETURNING u.id, u.email, u.username""",
            needs={"chosen": ("id",)},
            gives=("id", "email", "username"),
        ),
        *REMOVE_LIMITS,
        *REMOVE_UNDELIVERED,
        REMOVE_SUPPRESSIONS,
        INSERT_REMOVAL_EVENTS,
        "SELECT count(*) AS removed FROM changed",
    )


def removal_event(event: Record) -> dict[str, Any]:
    """Return the parameters by which a ``removal`` writes ``event`` for each account."""
    return {"name": event.name, "payload": Jsonb(event.payload)}


_CLAIM_DELETED = Statement(
    "claim_deleted",
    """
        UPDATE users SET purging_at = now(), purge_attempts = purge_attempts + 1
        WHERE id = %(id)s AND status = 2
            AND (purging_at IS NULL OR purging_at < now() - %(lease)s * interval '1 second')
        RETURNING purging_at""",
)

_RELEASE_CLAIM = Statement(
    "release_claim",
    """
        UPDATE users SET purging_at = CASE WHEN purge_attempts > 1 THEN to_timestamp(0) END,
            purge_attempts = purge_attempts - 1
        WHERE id = ANY(%(ids)s) AND purging_at = %(at)s""",
)

_REMOVE_CLAIMED = removal(
    "remove_claimed", "SELECT id FROM users WHERE id = ANY(%(ids)s) AND purging_at = %(at)s FOR UPDATE"
)


def claim_deleted(user_id: str) -> Claim | None:
    """Claim an account that is marked deleted. Return None if it is not, or if another run is removing it."""
    rows = query(_CLAIM_DELETED, {"id": user_id, "lease": LEASE}, read_only=False)
    return Claim([user_id], rows[0]["purging_at"]) if rows else None


def release(claim: Claim) -> None:
    """Give back accounts of which nothing was removed. An account that an earlier try may have begun stays claimed."""
    query(_RELEASE_CLAIM, {"ids": list(claim.user_ids), "at": claim.at}, read_only=False)


def remove(claim: Claim, event: Record) -> int:
    """Delete claimed accounts with all their data, write ``event`` for each, and return their number."""
    parameters = {"ids": list(claim.user_ids), "at": claim.at, **removal_event(event)}
    return int(query(_REMOVE_CLAIMED, parameters, read_only=False)[0]["removed"])
