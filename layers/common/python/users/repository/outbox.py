"""Writing outbox records, beside a change or alone. Delivering and deleting them is the relay's subject."""

from collections.abc import Sequence
from dataclasses import asdict

from psycopg.types.json import Jsonb

from users.access import Account
from users.repository.database import query
from users.rules.outbox_records import Record

# Seconds in which a woken run begins, in a new execution environment too. After them the next change wakes again.
_BEGINS_WITHIN = 1.0
# A promise that ends later than this was made by a clock that was wrong, and set right since.
_LONGEST_PROMISE = 300.0  # seconds

# For a statement that has a CTE `changed` with the account's id: its records are written with it, from the parameter
# `records` (as_rows). The order of the array is the order of delivery. A record that is for a verified address only
# (decisions 34) is left out where the account, as the statement finds it, has another address or an unverified one.
# The text ends in a WHERE condition on `changed` and `r`, so that a statement may add further ones by AND.
INSERT_RECORDS = """
    INSERT INTO users_outbox (id, user_id, channel, name, payload)
    SELECT r.id, changed.id, r.channel, r.name, r.payload
    FROM changed, jsonb_to_recordset(%(records)s) AS
        r(id uuid, channel text, name text, payload jsonb, to_verified boolean)
    WHERE (r.to_verified IS NOT TRUE OR (
        SELECT v.verified_at IS NOT NULL AND v.email = r.payload->>'email' FROM users v WHERE v.id = changed.id))"""

# The same for mails that are sent only as often as the CTE `throttle` allows (repository.mails), from `mails`.
INSERT_MAILS = """
    INSERT INTO users_outbox (id, user_id, channel, name, payload)
    SELECT r.id, changed.id, r.channel, r.name, r.payload
    FROM changed, throttle, jsonb_to_recordset(%(mails)s) AS r(id uuid, channel text, name text, payload jsonb)
    WHERE throttle.allowed"""

# The same for a CTE `changed` that holds the whole changed row: events are given the keys of it that they ask for.
# Notices are given the address of a CTE `told(id, email, verified_at)`. That is the changed row. Where the address
# itself changes, it is the row before the change.
INSERT_CHANGE_RECORDS = r"""
    INSERT INTO users_outbox (id, user_id, channel, name, payload)
    SELECT r.id, changed.id, r.channel, r.name, r.payload || COALESCE(
        (SELECT jsonb_object_agg(known.key, known.value) FROM jsonb_each(jsonb_strip_nulls(jsonb_build_object(
            'id', changed.id,
            'status', (ARRAY['enabled', 'disabled', 'deleted'])[changed.status + 1],
            'first_name', NULLIF(changed.first_name, ''),
            'last_name', NULLIF(changed.last_name, ''),
            'tags', NULLIF(changed.tags, '{}'),
            'username', changed.username,
            'email', changed.email,
            'metadata', changed.metadata,
            'profile_picture', changed.profile_picture,
            'created_at', regexp_replace(
                to_char(changed.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '\.?0*$', '') || 'Z'
        ))) known WHERE known.key = ANY(r.row_keys)), '{}')
        || CASE WHEN r.to_verified THEN jsonb_build_object('email', told.email) ELSE '{}' END
    FROM changed JOIN told USING (id), jsonb_to_recordset(%(records)s) AS
        r(id uuid, channel text, name text, payload jsonb, row_keys text[], to_verified boolean)
    WHERE r.to_verified IS NOT TRUE OR told.verified_at IS NOT NULL"""

# For a CTE `changed` with the row of somebody who may have become an administrator: the others are told, by the mail
# whose payload is the parameter `administrator_notice`. `users` is as it was before the statement.
TELL_ADMINISTRATORS = """
    INSERT INTO users_outbox (id, user_id, channel, name, payload)
    SELECT gen_random_uuid(), a.id, 'mail', 'new_administrator',
        %(administrator_notice)s::jsonb || jsonb_build_object(
            'email', a.email, 'account', changed.id, 'username', COALESCE(changed.username, changed.id))
    FROM changed JOIN users a ON a.role = 1 AND a.status = 0 AND a.verified_at IS NOT NULL AND a.id <> changed.id
    WHERE changed.role = 1 AND changed.status = 0
        AND NOT EXISTS (SELECT FROM users b WHERE b.id = changed.id AND b.role = 1 AND b.status = 0)"""


def as_rows(records: Sequence[Record]) -> Jsonb:
    """The parameter that ``INSERT_RECORDS`` unpacks."""
    return Jsonb([asdict(record) for record in records])


def record(user_id: str | None, records: Sequence[Record]) -> None:
    """Write records that belong to no change of a row; ``user_id`` None where no account is known."""
    statement = f"WITH changed AS (SELECT %(user_id)s::varchar AS id) {INSERT_RECORDS}"
    query(statement, {"user_id": user_id, "records": as_rows(records)}, read_only=False)


def record_while_unchanged(account: Account, records: Sequence[Record]) -> bool:
    """Write records of an account. False, and nothing written, when it changed since it was read (S45).

    A change of its password, role or status that is not committed yet is waited for.
    """
    statement = f"""
        WITH changed AS MATERIALIZED (
            SELECT u.id FROM users u
            WHERE u.id = %(id)s AND u.status = %(status)s
                AND COALESCE(EXTRACT(EPOCH FROM u.tokens_valid_from)::bigint, 0) = %(tokens_valid_from)s
            FOR NO KEY UPDATE
        ), recorded AS ({INSERT_RECORDS})
        SELECT id FROM changed"""
    parameters = {
        "id": account.id,
        "status": account.status,
        "tokens_valid_from": account.tokens_valid_from,
        "records": as_rows(records),
    }
    return bool(query(statement, parameters, read_only=False))


def must_wake() -> bool:
    """Return whether the caller, whose change is committed, has to wake delivery, because no run is expected.

    Whoever gets True has to wake a run: for ``_BEGINS_WITHIN`` seconds all others get False. The run that begins then
    writes its own promise into the row (``lookout`` of the relay). While somebody else has locked the row, the answer
    is False: that one is about to wake a run, or to look.
    Where the row is missing, everybody gets True.
    """
    statement = """
        WITH woken AS (
            UPDATE users_relay
            SET run_id = NULL, looks_until = clock_timestamp() + %(seconds)s * interval '1 second'
            WHERE id IN (
                SELECT id FROM users_relay
                WHERE looks_until <= clock_timestamp()
                    OR looks_until > clock_timestamp() + %(longest)s * interval '1 second'
                FOR UPDATE SKIP LOCKED)
            RETURNING id
        )
        SELECT EXISTS (SELECT FROM woken) OR NOT EXISTS (SELECT FROM users_relay) AS must_wake"""
    parameters = {"seconds": _BEGINS_WITHIN, "longest": _LONGEST_PROMISE}
    return bool(query(statement, parameters, read_only=False)[0]["must_wake"])


def withdraw_wake() -> None:
    """Let the next change wake delivery, because the wake-up that ``must_wake`` asked for was not taken."""
    query("UPDATE users_relay SET looks_until = '-infinity' WHERE run_id IS NULL", {}, read_only=False)


def oldest_age() -> float:
    """Seconds since the oldest record that is not parked was due first, 0.0 when there is none; one index look-up."""
    statement = """
        SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 AS age
        FROM users_outbox WHERE parked_at IS NULL AND created_at <= clock_timestamp() ORDER BY seq LIMIT 1"""
    rows = query(statement, {}, read_only=True)
    return float(rows[0]["age"]) if rows else 0.0
