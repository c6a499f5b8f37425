"""Removing accounts for good: claiming them, and deleting every trace of them from the database (decisions 18).

A claim is ``purging_at``: from then on nobody restores the account. It names its holder by its time: who was overtaken
by another run, because he took longer than ``LEASE``, deletes and tells nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from users.repository.database import query
from users.repository.suppressions import mailbox
from users.rules.outbox_records import Record

LEASE = 600  # seconds after which a claim is a dead run's

# The condition on ``users u`` for accounts that their mailbox's owner, or the sweep, may remove because nobody verified
# them: they registered themselves and were never verified. Administrators are none of them (decisions 35).
NEVER_VERIFIED = """u.self_registered AND u.verified_at IS NULL AND u.status = 0 AND u.role IS DISTINCT FROM 1
    AND u.purging_at IS NULL"""

# Limits know an account by its id. Those of before it had one know a digest of what was typed: they end within an
# hour, and until then they are looked for, too. Those of a mailbox stay for a day at most, without the account's id:
# else whoever registers and deletes in turns sends it any number of mails. Nobody reads their digests without the key.
_DELETE_THROTTLES = """
    DELETE FROM users_throttle t USING changed WHERE t.user_id = changed.id AND t.key NOT LIKE 'mail:%%'
), mailboxes AS (
    UPDATE users_throttle t SET user_id = NULL FROM changed WHERE t.user_id = changed.id AND t.key LIKE 'mail:%%'
), digests AS (
    SELECT encode(sha256(convert_to(lower(name), 'UTF8')), 'hex') AS digest
    FROM changed, LATERAL (VALUES (email), (username)) names(name) WHERE name IS NOT NULL
), throttles_by_name AS (
    DELETE FROM users_throttle WHERE split_part(key, ':', 3) IN (SELECT digest FROM digests)"""

# What is still to be told of the account holds no personal data: that it was deleted, which tokens are void, and that
# it has no relations any more.
_DELETE_UNDELIVERED = """
    DELETE FROM users_outbox o USING changed
    WHERE o.user_id = changed.id AND o.channel NOT IN ('revocation', 'relation') AND o.name <> 'user.delete'
), wishes AS (
    DELETE FROM users_outbox o USING changed
    WHERE o.user_id IS NULL AND o.channel = 'reset_request' AND lower(o.payload->>'email') = lower(changed.email)
), mails_to_administrators AS (
    DELETE FROM users_outbox o USING changed
    WHERE o.channel = 'mail' AND o.name = 'new_administrator' AND o.payload->>'account' = changed.id"""


# Those of addresses that the account had before go by cascade.
_DELETE_SUPPRESSIONS = f"""
    DELETE FROM users_mail_suppressions s USING changed WHERE s.address = {mailbox("changed.email")}"""


@dataclass(frozen=True, slots=True)
class Claim:
    """Accounts that are being removed since ``at``, by whoever holds this."""

    user_ids: Sequence[str]
    at: datetime


def claim_deleted(user_id: str) -> Claim | None:
    """Claim an account that is marked deleted; None when it is not, or when its removal is under way elsewhere."""
    rows = query(
        "UPDATE users SET purging_at = now(), purge_attempts = purge_attempts + 1"
        " WHERE id = %(id)s AND status = 2"
        " AND (purging_at IS NULL OR purging_at < now() - %(lease)s * interval '1 second')"
        " RETURNING purging_at",
        {"id": user_id, "lease": LEASE},
        read_only=False,
    )
    return Claim([user_id], rows[0]["purging_at"]) if rows else None


def release(claim: Claim) -> None:
    """Give back accounts of which nothing was removed. One that an earlier try may have begun is nobody's, but stays
    claimed.
    """
    query(
        "UPDATE users SET purging_at = CASE WHEN purge_attempts > 1 THEN to_timestamp(0) END,"
        " purge_attempts = purge_attempts - 1"
        " WHERE id = ANY(%(ids)s) AND purging_at = %(at)s",
        {"ids": list(claim.user_ids), "at": claim.at},
        read_only=False,
    )


def remove(claim: Claim, event: Record) -> int:
    """Delete claimed accounts with all that is kept of them, and tell of each by an event; how many there were."""
    chosen = "SELECT id FROM users WHERE id = ANY(%(ids)s) AND purging_at = %(at)s FOR UPDATE"
    return remove_chosen(chosen, {"ids": list(claim.user_ids), "at": claim.at}, event)


def remove_chosen(chosen: str, parameters: Mapping[str, Any], event: Record) -> int:
    """The same for accounts that are in no domain and have no relations, whose ids the statement ``chosen`` finds."""
    statement, values = removal_of(chosen, parameters, event)
    return int(query(statement, values, read_only=False)[0]["removed"])


def removal_of(chosen: str, parameters: Mapping[str, Any], event: Record) -> tuple[str, dict[str, Any]]:
    """The statement that does so and its parameters, for a transaction of the caller's. It returns ``removed``.

    ``event`` is the model of each one's. Verifications, mail tokens and known addresses go by cascade.
    """
    statement = f"""
        WITH chosen AS MATERIALIZED ({chosen}), changed AS (
            DELETE FROM users u USING chosen WHERE u.id = chosen.id RETURNING u.id, u.email, u.username
        ), throttles AS ({_DELETE_THROTTLES}), undelivered AS ({_DELETE_UNDELIVERED}),
        suppressions AS ({_DELETE_SUPPRESSIONS}), recorded AS (
            INSERT INTO users_outbox (id, user_id, channel, name, payload)
            SELECT gen_random_uuid(), id, 'event', %(name)s, %(payload)s::jsonb || jsonb_build_object('id', id)
            FROM changed
        )
        SELECT count(*) AS removed FROM changed"""
    return statement, {**parameters, "name": event.name, "payload": Jsonb(event.payload)}
