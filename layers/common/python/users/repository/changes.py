"""Changing one account. Each change is one statement: the row, its events and mails, and the end of sessions.

A change of password, role or status sets ``tokens_valid_from`` to the start of the next second (decisions 15).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from psycopg.types.json import Jsonb

from users.errors import TooManyRequests
from users.models import Role, Status, User
from users.repository.accounts import NEXT_SECOND, USER_COLUMNS
from users.repository.database import query
from users.repository.links import END_LINKS, END_PASSWORD_LINKS
from users.repository.login_failures import FORGET_FAILURES
from users.repository.mails import MAIL_LIMITS
from users.repository.outbox import (
    FORGET_PARKED_LINKS,
    FORGET_WARNING,
    INSERT_CHANGE_RECORDS,
    INSERT_MAILS,
    TELL_ADMINISTRATORS,
    as_rows,
)
from users.repository.statements import ROW, Columns, Part, Statement
from users.repository.throttles import COUNT_EMAIL_CHANGE, COUNT_HITS, FORGET_FAILED_LOGINS
from users.rules.outbox_records import Record, administrator_notice, relation_repair

# How often an account may change its own address in a day (S53).
EMAIL_CHANGES = 5

# The id of the account, locked. The statement first waits for logins that hold the row, and reads the clock only after
# that. So the tokens of these logins are older than the change (S45).
_LOCKED = "(SELECT id FROM users WHERE id = %(id)s FOR NO KEY UPDATE)"

# Enabled administrators, locked: two requests at once cannot both find that another one is left.
_ENABLED_ADMINS = Part(
    "admins", "SELECT id FROM users WHERE role = 1 AND status = 0 ORDER BY id FOR UPDATE", gives=("id",)
)
_ANOTHER_ADMIN_IS_LEFT = """(u.role IS DISTINCT FROM 1 OR u.status <> 0
    OR EXISTS (SELECT FROM admins WHERE admins.id <> u.id))"""

# The address that a notice of the change goes to.
_TOLD = Part(
    "told",
    "SELECT id, email, verified_at FROM changed",
    needs={"changed": ("id", "email", "verified_at")},
    gives=("id", "email", "verified_at"),
)
# The same, for a change of the address: the one before the change.
_TOLD_BEFORE = Part(
    "told",
    "SELECT id, email, verified_at FROM users WHERE id = %(id)s AND status = 0 FOR NO KEY UPDATE",
    gives=("id", "email", "verified_at"),
    materialized=True,
)

_PLAIN_COLUMNS = {
    "first_name": "%(first_name)s",
    "last_name": "%(last_name)s",
    "metadata": "%(metadata)s",
    "private_metadata": "%(private_metadata)s",
    "tags": "%(tags)s",
    "profile_picture": "NULLIF(%(profile_picture)s, '')",
}


def _renaming(name: str, other: str) -> list[str]:
    """Return the assignments of an e-mail address or username. ``other`` is the one of the two that stays.

    An account that is marked because of the letter case of its names lies outside the folded indexes (decisions 19). If
    another account has the new name in other letter case, we write the existing spelling, so that the exact unique
    index rejects it. The mark goes as soon as both names are the account's own.
    """
    others = "FROM users k WHERE k.id <> u.id AND NOT k.case_conflict"
    holder = f"{others} AND lower(k.{name}) = lower(%({name})s)"
    other_holder = f"{others} AND lower(k.{other}) = lower(u.{other})"
    taken = f"SELECT k.{name} {holder} AND u.case_conflict AND u.{name} IS DISTINCT FROM %({name})s"
    return [
        f"{name} = COALESCE(({taken}), %({name})s)",
        f"case_conflict = u.case_conflict AND (EXISTS (SELECT {holder}) OR EXISTS (SELECT {other_holder}))",
    ]


def _changed(assignments: Sequence[str], condition: str, needs: Mapping[str, Columns] | None = None) -> Part:
    """Return the part that changes the row of the account."""
    everything = ", ".join([*assignments, "updated_at = %(at)s", "updated_by = %(by)s"])
    return Part(
        "changed",
        f"""
            UPDATE users u SET {everything} WHERE u.id = %(id)s AND {condition} RETURNING u.*""",
        needs=needs or {},
        gives=ROW,
    )


_SHOW_CHANGED = f"SELECT {USER_COLUMNS} FROM changed u"


@cache
def _update(columns: tuple[str, ...]) -> Statement:
    assignments = [f"{name} = {_PLAIN_COLUMNS[name]}" for name in columns if name != "username"]
    if "username" in columns:
        assignments += _renaming("username", "email")
    changed = _changed(assignments, "u.status = 0")
    return Statement("update_account", changed, _TOLD, INSERT_CHANGE_RECORDS, _SHOW_CHANGED)


_UPDATE_EMAIL = Statement(
    "update_email",
    _TOLD_BEFORE,
    COUNT_EMAIL_CHANGE,
    _changed(
        [
            *_renaming("email", "username"),
            # An account that was verified once is not removed if its next address stays unverified (decisions 35).
            "self_registered = u.self_registered AND u.verified_at IS NULL",
            "verified_at = NULL",
            # An account that was not verified yet gets a reminder at its new address too, before it is removed.
            "verification_reminded_at = NULL",
        ],
        "u.id IN (SELECT id FROM told) AND (%(by)s <> u.id OR EXISTS (SELECT FROM spent))",
        {"told": ("id",), "spent": ()},
    ),
    INSERT_CHANGE_RECORDS,
    END_LINKS,
    FORGET_PARKED_LINKS,
    Part("addressee", "SELECT id FROM changed", needs={"changed": ("id",)}, gives=("id",)),
    MAIL_LIMITS,
    *COUNT_HITS,
    INSERT_MAILS,
    _SHOW_CHANGED,
)

_WAIT_FOR_EMAIL_CHANGE = Statement(
    "wait_for_email_change",
    """
        SELECT ceil(extract(epoch FROM t.expires_at - now()))::int AS seconds FROM users_throttle t
        WHERE t.key = 'email:' || %(id)s AND t.expires_at > now() AND t.hits >= %(most)s
            AND EXISTS (SELECT FROM users WHERE id = %(id)s AND status = 0)""",
)

# Sessions end if the role changes.
_SESSIONS_END = f"CASE WHEN COALESCE(u.role, 0) <> %(role)s THEN {NEXT_SECOND} ELSE u.tokens_valid_from END"

_UPDATE_ROLE = Statement(
    "update_role",
    _ENABLED_ADMINS,
    _changed(
        ["role = %(role)s", f"tokens_valid_from = {_SESSIONS_END}"],
        f"u.status = 0 AND (%(role)s = 1 OR {_ANOTHER_ADMIN_IS_LEFT})",
        {"admins": ("id",)},
    ),
    _TOLD,
    INSERT_CHANGE_RECORDS,
    TELL_ADMINISTRATORS,
    _SHOW_CHANGED,
)


@cache
def _update_status(*, claims: bool, enables: bool) -> Statement:
    changed = _changed(
        [
            "status = %(status)s",
            f"tokens_valid_from = {NEXT_SECOND}",
            "disabled_at = CASE %(status)s WHEN 0 THEN NULL WHEN 1 THEN now() ELSE u.disabled_at END",
            "deleted_at = CASE %(status)s WHEN 2 THEN now() END",
            "removal_warned_at = NULL",
            f"purging_at = {'%(at)s' if claims else 'NULL'}",
            f"purge_attempts = {int(claims)}",
        ],
        f"""u.status <> %(status)s AND NOT (u.status = 2 AND %(status)s = 1) AND u.purging_at IS NULL
        AND {_ANOTHER_ADMIN_IS_LEFT}""",
        {"admins": ("id",)},
    )
    further = [FORGET_WARNING, TELL_ADMINISTRATORS, *([FORGET_FAILURES] if enables else [])]
    return Statement("update_status", _ENABLED_ADMINS, changed, _TOLD, INSERT_CHANGE_RECORDS, *further, _SHOW_CHANGED)


# A new password ends the restriction that wrong passwords have brought about (S9, S47).
_UPDATE_SECRET = Statement(
    "update_secret",
    _changed(
        ["secret = %(new_hash)s", "secret_changed_at = %(at)s", f"tokens_valid_from = {NEXT_SECOND}"],
        f"u.id = {_LOCKED} AND u.status = 0 AND u.secret IS NOT DISTINCT FROM %(old_hash)s",
    ),
    _TOLD,
    INSERT_CHANGE_RECORDS,
    END_PASSWORD_LINKS,
    FORGET_FAILED_LOGINS,
    FORGET_FAILURES,
    _SHOW_CHANGED,
)


def update(user_id: str, values: Mapping[str, Any], records: Sequence[Record], *, by: str, at: datetime) -> User | None:
    """Set plain columns of an enabled account. None if there is no such account. Conflict for a taken username.

    ``values`` maps columns to values (dicts for the two metadata). Without values, the time of the update is set.
    """
    parameters = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
    return _change(_update(tuple(values)), parameters, records, user_id, by=by, at=at)


def update_email(
    user_id: str, email: str, records: Sequence[Record], mails: Sequence[Record], *, mailbox: str, by: str, at: datetime
) -> User | None:
    """Set a new, unverified address. Links that were mailed to the old address end (S25).

    ``records`` may hold a notice, which goes to the old address if that was verified. ``mails`` go to the new address,
    whose digest is ``mailbox``, and only as often as a mailbox should get one (S12).

    None if no enabled account has the id. Conflict for a taken address, TooManyRequests if the account itself
    (``by``) changed it too often (S53).
    """
    parameters = {
        "email": email,
        "kind": "verification",
        "mailbox": mailbox,
        "mails": as_rows(mails),
        "most_changes": EMAIL_CHANGES,
    }
    user = _change(_UPDATE_EMAIL, parameters, records, user_id, by=by, at=at)
    if user is None and (wait := _wait_for_email_change(user_id)):
        raise TooManyRequests(wait)
    return user


def _wait_for_email_change(user_id: str) -> int:
    """Return the seconds until an enabled account may change its address again, 0 if it may or does not exist."""
    rows = query(_WAIT_FOR_EMAIL_CHANGE, {"id": user_id, "most": EMAIL_CHANGES}, read_only=True)
    return int(rows[0]["seconds"]) if rows else 0


def update_role(user_id: str, role: int, records: Sequence[Record], *, by: str, at: datetime) -> User | None:
    """Set the role of an enabled account. None if there is no such account, or no administrator would be left.

    Sessions end if the role changes. After a demotion the relay checks the relations again, because a grant may still
    be on its way (users.steps.granting). The statement mails the other administrators about a new one.
    """
    if role != Role.ADMIN:
        records = [*records, relation_repair(user_id)]
    parameters = {"role": role, "administrator_notice": Jsonb(administrator_notice(at))}
    return _change(_UPDATE_ROLE, parameters, records, user_id, by=by, at=at)


def update_status(
    user_id: str, status: int, records: Sequence[Record], *, by: str, at: datetime, claims: bool = False
) -> User | None:
    """Enable, disable or delete. None if the account has that status, is being removed, or is the last administrator.

    A deleted account is not disabled: that would undo its deletion. With ``claims`` its removal begins with the change,
    and is ``Claim([user_id], at)`` (repository.purges). The statement mails the other administrators when an
    administrator is enabled again.
    """
    statement = _update_status(claims=claims, enables=status == Status.ENABLED)
    parameters = {"status": status, "administrator_notice": Jsonb(administrator_notice(at))}
    return _change(statement, parameters, records, user_id, by=by, at=at)


def update_secret(
    user_id: str, old_hash: str | None, new_hash: str, records: Sequence[Record], *, at: datetime, by: str = ""
) -> User | None:
    """Replace a password that is still ``old_hash``. None if it was changed meanwhile. Links that set a password end.

    ``by`` is the account that makes the change, empty for the user itself.
    """
    parameters = {"new_hash": new_hash, "old_hash": old_hash}
    return _change(_UPDATE_SECRET, parameters, records, user_id, by=by or user_id, at=at)


def _change(
    statement: Statement,
    parameters: Mapping[str, Any],
    records: Sequence[Record],
    user_id: str,
    *,
    by: str,
    at: datetime,
) -> User | None:
    values = {**parameters, "id": user_id, "by": by, "at": at, "records": as_rows(records)}
    rows = query(statement, values, read_only=False)
    return User.from_row(rows[0]) if rows else None
