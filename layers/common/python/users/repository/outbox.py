"""Writing outbox records, with a change or alone. The relay delivers and deletes them (background/repository)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from psycopg.types.json import Jsonb

from users.access import Account
from users.repository.database import query
from users.repository.statements import ROW, Columns, Part, Statement
from users.rules.outbox_records import Record

# Seconds in which a woken run begins, in a new execution environment too. After them the next change wakes again.
_BEGINS_WITHIN = 1.0
# A promise that ends later than this was made by a clock that was wrong and has been set right since.
_LONGEST_PROMISE = 300.0  # seconds


def insert(name: str, rows: str, *, needs: Mapping[str, Columns], also: Columns = ()) -> Part:
    """Return the part that writes ``rows`` to the outbox: a SELECT of id, user_id, channel, name, payload and ``also``.

    The order of the rows is the order of delivery.
    """
    columns = ", ".join(("id", "user_id", "channel", "name", "payload", *also))
    return Part(name, f"INSERT INTO users_outbox ({columns})\n    {rows.strip()}", needs=needs)


def insert_records(condition: str = "", *, columns: Columns = ()) -> Part:
    """Return the part that writes the records of the parameter ``records`` (as_rows) for the account ``changed``.

    It leaves out a record for a verified address (decisions 34) if the account, as the statement finds it, has another
    address or an unverified one. It also leaves out records that do not meet the ``condition`` on ``r`` and
    ``changed``, of which the condition reads ``columns``.
    """
    further = f"AND {condition}" if condition else ""
    return insert(
        "recorded",
        f"""
    SELECT r.id, changed.id, r.channel, r.name, r.payload
    FROM changed, jsonb_to_recordset(%(records)s) AS
        r(id uuid, channel text, name text, payload jsonb, to_verified boolean)
    WHERE (r.to_verified IS NOT TRUE OR (
        SELECT v.verified_at IS NOT NULL AND v.email = r.payload->>'email' FROM users v WHERE v.id = changed.id))
        {further}""",
        needs={"changed": ("id", *columns)},
    )


INSERT_RECORDS = insert_records()

# Writes the mails of the parameter `mails` (as_rows) for the account `changed`, if the limits of the mailbox allow it.
INSERT_MAILS = insert(
    "mailed",
    """
    SELECT r.id, changed.id, r.channel, r.name, r.payload
    FROM changed, throttle, jsonb_to_recordset(%(mails)s) AS r(id uuid, channel text, name text, payload jsonb)
    WHERE throttle.allowed""",
    needs={"changed": ("id",), "throttle": ("allowed",)},
)

# Writes `records` for the whole changed row. An event gets the keys of the row that it asks for. A notice gets the
# address of `told`. That is the changed row or, if the address itself changes, the row before the change.
INSERT_CHANGE_RECORDS = insert(
    "recorded",
    r"""
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
    WHERE r.to_verified IS NOT TRUE OR told.verified_at IS NOT NULL""",
    needs={"changed": ROW, "told": ("id", "email", "verified_at")},
)

# Mails `administrator_notice` to all other administrators, if the account `changed` has become an enabled
# administrator. `users` is as it was before the statement.
TELL_ADMINISTRATORS = insert(
    "told_administrators",
    """
    SELECT gen_random_uuid(), a.id, 'mail', 'new_administrator',
        %(administrator_notice)s::jsonb || jsonb_build_object(
            'email', a.email, 'account', changed.id, 'username', COALESCE(changed.username, changed.id))
    FROM changed JOIN users a ON a.role = 1 AND a.status = 0 AND a.verified_at IS NOT NULL AND a.id <> changed.id
    WHERE changed.role = 1 AND changed.status = 0
        AND NOT EXISTS (SELECT FROM users b WHERE b.id = changed.id AND b.role = 1 AND b.status = 0)""",
    needs={"changed": ("id", "role", "status", "username")},
)

# Deletes the mail that warns of a removal, when the removal is off or at another time (decisions 18).
FORGET_WARNING = Part(
    "unwarned",
    """
        DELETE FROM users_outbox
        WHERE user_id = (SELECT id FROM changed) AND channel = 'mail' AND name = 'account_removal'""",
    needs={"changed": ("id",)},
)

# Deletes parked mails with a link. A mail that could not be sent to the old address would block the mails to the new
# one.
FORGET_PARKED_LINKS = Part(
    "parked",
    """
        DELETE FROM users_outbox
        WHERE user_id = (SELECT id FROM changed) AND channel = 'mail' AND parked_at IS NOT NULL
            AND name IN ('verification', 'verification_reminder', 'password_reset', 'invitation')""",
    needs={"changed": ("id",)},
)

# Deletes the undelivered rows of removed accounts. The remaining rows contain no personal data: the event of the
# deletion, the revocations of tokens, and the repair that removes the relations.
REMOVE_UNDELIVERED = (
    Part(
        "undelivered",
        """
    DELETE FROM users_outbox o USING changed
    WHERE o.user_id = changed.id AND o.channel NOT IN ('revocation', 'relation') AND o.name <> 'user.delete'""",
        needs={"changed": ("id",)},
    ),
    Part(
        "wishes",
        """
    DELETE FROM users_outbox o USING changed
    WHERE o.user_id IS NULL AND o.channel = 'reset_request' AND lower(o.payload->>'email') = lower(changed.email)""",
        needs={"changed": ("email",)},
    ),
    Part(
        "mails_to_administrators",
        """
    DELETE FROM users_outbox o USING changed
    WHERE o.channel = 'mail' AND o.name = 'new_administrator' AND o.payload->>'account' = changed.id""",
        needs={"changed": ("id",)},
    ),
)

# Writes an event for each removed account, from its model: the parameters `name` and `payload`.
INSERT_REMOVAL_EVENTS = insert(
    "recorded",
    """
            SELECT gen_random_uuid(), id, 'event', %(name)s, %(payload)s::jsonb || jsonb_build_object('id', id)
            FROM changed""",
    needs={"changed": ("id",)},
)

_RECORD = Statement("record", Part("changed", "SELECT %(user_id)s::varchar AS id", gives=("id",)), INSERT_RECORDS)

_RECORD_WHILE_UNCHANGED = Statement(
    "record_while_unchanged",
    Part(
        "changed",
        """
            SELECT u.id FROM users u
            WHERE u.id = %(id)s AND u.status = %(status)s
                AND COALESCE(EXTRACT(EPOCH FROM u.tokens_valid_from)::bigint, 0) = %(tokens_valid_from)s
            FOR NO KEY UPDATE""",
        gives=("id",),
        materialized=True,
    ),
    INSERT_RECORDS,
    "SELECT id FROM changed",
)

_MUST_WAKE = Statement(
    "must_wake",
    """
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
        SELECT EXISTS (SELECT FROM woken) OR NOT EXISTS (SELECT FROM users_relay) AS must_wake""",
)
_WITHDRAW_WAKE = Statement("withdraw_wake", "UPDATE users_relay SET looks_until = '-infinity' WHERE run_id IS NULL")

_OLDEST_AGE = Statement(
    "oldest_age",
    """
        SELECT extract(epoch FROM clock_timestamp() - created_at)::float8 AS age
        FROM users_outbox WHERE parked_at IS NULL AND created_at <= clock_timestamp() ORDER BY seq LIMIT 1""",
)


def as_rows(records: Sequence[Record]) -> Jsonb:
    """Return the parameter from which a statement reads ``records``."""
    return Jsonb([asdict(record) for record in records])


def record(user_id: str | None, records: Sequence[Record]) -> None:
    """Write records that belong to no change of a row. ``user_id`` is None if the account is unknown."""
    query(_RECORD, {"user_id": user_id, "records": as_rows(records)}, read_only=False)


def record_while_unchanged(account: Account, records: Sequence[Record]) -> bool:
    """Write records of an account. Return False, and write nothing, if it changed since it was read (S45).

    The statement waits for changes of its password, role or status that are not committed yet.
    """
    parameters = {
        "id": account.id,
        "status": account.status,
        "tokens_valid_from": account.tokens_valid_from,
        "records": as_rows(records),
    }
    return bool(query(_RECORD_WHILE_UNCHANGED, parameters, read_only=False))


def must_wake() -> bool:
    """Return whether the caller, whose change is committed, has to wake delivery, because no run is expected.

    A caller that gets True has to wake a run: for ``_BEGINS_WITHIN`` seconds all other callers get False. The run that
    begins then writes its own promise into the row (background.delivery.lookout). While another transaction has locked
    the row, the answer is False, because that one is about to wake a run or to look. Without the row, the answer is
    always True.
    """
    parameters = {"seconds": _BEGINS_WITHIN, "longest": _LONGEST_PROMISE}
    return bool(query(_MUST_WAKE, parameters, read_only=False)[0]["must_wake"])


def withdraw_wake() -> None:
    """Let the next change wake delivery, because the wake-up that ``must_wake`` asked for has failed."""
    query(_WITHDRAW_WAKE, {}, read_only=False)


def oldest_age() -> float:
    """Return the seconds since the oldest record that is not parked became due, 0.0 if there is none.

    The statement is one index look-up.
    """
    rows = query(_OLDEST_AGE, {}, read_only=True)
    return float(rows[0]["age"]) if rows else 0.0
