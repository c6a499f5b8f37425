"""Changing one account. Each change is one statement: the row, the events and mails it causes, the sessions it ends.

A change of password, role or status sets ``tokens_valid_from`` to the start of the next second (decisions 15).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from users.access import Account
from users.errors import TooManyRequests
from users.models import Role, Status, User
from users.repository.accounts import STANDING_COLUMNS, USER_COLUMNS
from users.repository.database import query
from users.repository.login_failures import FORGET_FAILURES
from users.repository.mails import MAIL_LIMITS
from users.repository.outbox import INSERT_CHANGE_RECORDS, INSERT_MAILS, TELL_ADMINISTRATORS, as_rows
from users.repository.throttles import ANOTHER_HIT, COUNT_HITS, LOGIN_LIMITS
from users.rules.outbox_records import Record, administrator_notice, relation_repair

# Tokens count whole seconds: one that was issued in this second may be older than the change.
NEXT_SECOND = "date_trunc('second', clock_timestamp()) + interval '1 second'"

# The id of the account, locked. The statement first waits for logins that hold the row, and reads the clock only after
# that. So the tokens of these logins are older than the change (S45).
LOCKED = "(SELECT id FROM users WHERE id = %(id)s FOR NO KEY UPDATE)"

# Administrators that are enabled, locked: two requests at once cannot both believe that another one is left.
_ENABLED_ADMINS = "admins AS (SELECT id FROM users WHERE role = 1 AND status = 0 ORDER BY id FOR UPDATE)"
_ANOTHER_ADMIN_IS_LEFT = """(u.role IS DISTINCT FROM 1 OR u.status <> 0
    OR EXISTS (SELECT FROM admins WHERE admins.id <> u.id))"""

# A new password ends the block that wrong ones brought about (S9, S47). Locked in the order of counting.
FORGET_FAILED_LOGINS = f"""
    forgotten AS (
        DELETE FROM users_throttle WHERE key IN (
            SELECT key FROM users_throttle WHERE user_id = (SELECT id FROM changed) AND key LIKE 'login:%%'
            ORDER BY array_position(ARRAY{list(LOGIN_LIMITS)}, split_part(key, ':', 2)), key FOR UPDATE)
    ), forgotten_failures AS ({FORGET_FAILURES})"""

# The mail that warns of a removal which is off now, or at another time (decisions 18).
_FORGET_WARNING = """, unwarned AS (
        DELETE FROM users_outbox
        WHERE user_id = (SELECT id FROM changed) AND channel = 'mail' AND name = 'account_removal'
    )"""

_TELL_ADMINISTRATORS = f", told_administrators AS ({TELL_ADMINISTRATORS})"

# How often an account may change its own address in a day (S53).
EMAIL_CHANGES = 5

_PLAIN_COLUMNS = {
    "first_name": "%(first_name)s",
    "last_name": "%(last_name)s",
    "metadata": "%(metadata)s",
    "private_metadata": "%(private_metadata)s",
    "tags": "%(tags)s",
    "profile_picture": "NULLIF(%(profile_picture)s, '')",
}


def find_caller_and_target(caller_id: str, target_id: str) -> tuple[Account | None, User | None]:
    """The caller's account and the account that is to be acted on, in one query."""
    statement = f"SELECT {USER_COLUMNS}, {STANDING_COLUMNS} FROM users u WHERE u.id IN (%(caller)s, %(target)s)"
    rows = {row["id"]: row for row in query(statement, {"caller": caller_id, "target": target_id}, read_only=True)}
    caller, target = rows.get(caller_id), rows.get(target_id)
    return Account.from_row(caller) if caller else None, User.from_row(target) if target else None


def update(user_id: str, values: Mapping[str, Any], records: Sequence[Record], *, by: str, at: datetime) -> User | None:
    """Set plain columns of an enabled account; None when there is none. Conflict for a taken username.

    ``values`` maps columns to values (dicts for the two metadata); it may be empty: the time of the update is set.
    """
    parameters = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
    assignments = [f"{name} = {_PLAIN_COLUMNS[name]}" for name in values if name != "username"]
    if "username" in values:
        assignments += _renaming("username", "email")
    return _change(assignments, "u.status = 0", parameters, records, user_id, by=by, at=at)


def update_email(
    user_id: str, email: str, records: Sequence[Record], mails: Sequence[Record], *, mailbox: str, by: str, at: datetime
) -> User | None:
    """Set a new, unverified address; links that were mailed to the old one end (S25).

    ``records`` may hold a notice, which goes to the old address where it was verified. ``mails`` are to the new one,
    whose digest is ``mailbox``, and are sent only as often as a mailbox should get one (S12). Parked mails with a link
    go: one that could not be sent to the old address would hold up all those to the new one.

    None when no enabled account has the id; Conflict when the address is taken; TooManyRequests when the account itself
    (``by``) changed it too often (S53).
    """
    spent = f"""
        told AS MATERIALIZED (
            SELECT id, email, verified_at FROM users WHERE id = %(id)s AND status = 0 FOR NO KEY UPDATE
        ), spent AS (
            INSERT INTO users_throttle AS t (key, user_id, hits, expires_at, hit_at)
            SELECT 'email:' || id, id, 1, now() + interval '1 day', now() FROM told WHERE id = %(by)s
            ON CONFLICT (key) DO UPDATE SET {ANOTHER_HIT}
            WHERE t.expires_at <= now() OR t.hits < %(most_changes)s
            RETURNING key
        )"""
    ends = f""", ended AS (
        UPDATE users_one_time_tokens SET used_at = now()
        WHERE used_at IS NULL AND user_id = (SELECT id FROM changed)
    ), parked AS (
        DELETE FROM users_outbox
        WHERE user_id = (SELECT id FROM changed) AND channel = 'mail' AND parked_at IS NOT NULL
            AND name IN ('verification', 'verification_reminder', 'password_reset', 'invitation')
    ), addressee AS (SELECT id FROM changed), {MAIL_LIMITS}, {COUNT_HITS}, mailed AS ({INSERT_MAILS})"""
    # An account that was verified once is not removed when its next address stays unverified (decisions 35).
    never_verified = "self_registered = u.self_registered AND u.verified_at IS NULL"
    # One that was not verified yet is reminded at its new address, too, before it is removed.
    assignments = [
        *_renaming("email", "username"),
        never_verified,
        "verified_at = NULL",
        "verification_reminded_at = NULL",
    ]
    condition = "u.id IN (SELECT id FROM told) AND (%(by)s <> u.id OR EXISTS (SELECT FROM spent))"
    parameters = {
        "email": email,
        "kind": "verification",
        "mailbox": mailbox,
        "mails": as_rows(mails),
        "most_changes": EMAIL_CHANGES,
    }
    user = _change(assignments, condition, parameters, records, user_id, by=by, at=at, also=ends, told_before=spent)
    if user is None and (wait := _wait_for_email_change(user_id)):
        raise TooManyRequests(wait)
    return user


def _wait_for_email_change(user_id: str) -> int:
    """Seconds until an enabled account may change its address again; 0 when it may, or is not there."""
    statement = """
        SELECT ceil(extract(epoch FROM t.expires_at - now()))::int AS seconds FROM users_throttle t
        WHERE t.key = 'email:' || %(id)s AND t.expires_at > now() AND t.hits >= %(most)s
            AND EXISTS (SELECT FROM users WHERE id = %(id)s AND status = 0)"""
    rows = query(statement, {"id": user_id, "most": EMAIL_CHANGES}, read_only=True)
    return int(rows[0]["seconds"]) if rows else 0


def update_role(user_id: str, role: int, records: Sequence[Record], *, by: str, at: datetime) -> User | None:
    """Set the role of an enabled account; None when there is none, or when no administrator would be left.

    Sessions end where the role becomes another one. A demotion has the relay look at the relations once more: a grant
    may still be on its way (users.steps.granting). Of a new administrator the others are told.
    """
    if role != Role.ADMIN:
        records = [*records, relation_repair(user_id)]
    sessions_end = f"CASE WHEN COALESCE(u.role, 0) <> %(role)s THEN {NEXT_SECOND} ELSE u.tokens_valid_from END"
    assignments = ["role = %(role)s", f"tokens_valid_from = {sessions_end}"]
    condition = f"u.status = 0 AND (%(role)s = 1 OR {_ANOTHER_ADMIN_IS_LEFT})"
    parameters = {"role": role, "administrator_notice": Jsonb(administrator_notice(at))}
    return _change(
        assignments, condition, parameters, records, user_id, by=by, at=at, also=_TELL_ADMINISTRATORS, locks_admins=True
    )


def update_status(
    user_id: str, status: int, records: Sequence[Record], *, by: str, at: datetime, claims: bool = False
) -> User | None:
    """Enable, disable or delete; None when the account has that status or is being removed, or is the last admin.

    A deleted account is not disabled: that would undo its deletion.
    ``claims``: its removal begins with the change, and is ``Claim([user_id], at)`` (repository.purges). Of an
    administrator that is enabled again the others are told.
    """
    assignments = [
        "status = %(status)s",
        f"tokens_valid_from = {NEXT_SECOND}",
        "disabled_at = CASE %(status)s WHEN 0 THEN NULL WHEN 1 THEN now() ELSE u.disabled_at END",
        "deleted_at = CASE %(status)s WHEN 2 THEN now() END",
        "removal_warned_at = NULL",
        f"purging_at = {'%(at)s' if claims else 'NULL'}",
        f"purge_attempts = {int(claims)}",
    ]
    condition = f"""u.status <> %(status)s AND NOT (u.status = 2 AND %(status)s = 1) AND u.purging_at IS NULL
        AND {_ANOTHER_ADMIN_IS_LEFT}"""
    parameters = {"status": status, "administrator_notice": Jsonb(administrator_notice(at))}
    also = _FORGET_WARNING + _TELL_ADMINISTRATORS
    if status == Status.ENABLED:
        also += f", forgotten_failures AS ({FORGET_FAILURES})"
    return _change(assignments, condition, parameters, records, user_id, by=by, at=at, also=also, locks_admins=True)


def update_secret(
    user_id: str, old_hash: str | None, new_hash: str, records: Sequence[Record], *, at: datetime, by: str = ""
) -> User | None:
    """Replace a password that is still ``old_hash``; links that set one end. None when it was changed meanwhile.

    ``by`` is who does it, the user itself when empty.
    """
    assignments = [
        "secret = %(new_hash)s",
        "secret_changed_at = %(at)s",
        f"tokens_valid_from = {NEXT_SECOND}",
    ]
    condition = f"u.id = {LOCKED} AND u.status = 0 AND u.secret IS NOT DISTINCT FROM %(old_hash)s"
    ends = f""", ended AS (
        UPDATE users_one_time_tokens SET used_at = now()
        WHERE used_at IS NULL AND purpose IN ('password_reset', 'invitation') AND user_id = (SELECT id FROM changed)
    ), {FORGET_FAILED_LOGINS}"""
    parameters = {"new_hash": new_hash, "old_hash": old_hash}
    return _change(assignments, condition, parameters, records, user_id, by=by or user_id, at=at, also=ends)


def _renaming(name: str, other: str) -> list[str]:
    """Assign an e-mail or username; ``other`` is the one of the two that stays.

    An account that is marked for its names' letter case lies outside the folded indexes (decisions 19). A new name
    that somebody has in other letters becomes the very one, for the exact index to refuse; and the mark goes as soon as
    both names are the account's own.
    """
    others = "FROM users k WHERE k.id <> u.id AND NOT k.case_conflict"
    holder = f"{others} AND lower(k.{name}) = lower(%({name})s)"
    other_holder = f"{others} AND lower(k.{other}) = lower(u.{other})"
    taken = f"SELECT k.{name} {holder} AND u.case_conflict AND u.{name} IS DISTINCT FROM %({name})s"
    return [
        f"{name} = COALESCE(({taken}), %({name})s)",
        f"case_conflict = u.case_conflict AND (EXISTS (SELECT {holder}) OR EXISTS (SELECT {other_holder}))",
    ]


def _change(  # noqa: PLR0913 -- the parts of one statement
    assignments: Sequence[str],
    condition: str,
    parameters: Mapping[str, Any],
    records: Sequence[Record],
    user_id: str,
    *,
    by: str,
    at: datetime,
    also: str = "",
    locks_admins: bool = False,
    told_before: str = "",
) -> User | None:
    everything = ", ".join([*assignments, "updated_at = %(at)s", "updated_by = %(by)s"])
    before = "".join(f"{part}, " for part in (_ENABLED_ADMINS if locks_admins else "", told_before) if part)
    told = "" if told_before else "told AS (SELECT id, email, verified_at FROM changed), "
    statement = f"""
        WITH {before}changed AS (
            UPDATE users u SET {everything} WHERE u.id = %(id)s AND {condition} RETURNING u.*
        ), {told}recorded AS ({INSERT_CHANGE_RECORDS}){also}
        SELECT {USER_COLUMNS} FROM changed u"""
    values = {**parameters, "id": user_id, "by": by, "at": at, "records": as_rows(records)}
    rows = query(statement, values, read_only=False)
    return User.from_row(rows[0]) if rows else None
