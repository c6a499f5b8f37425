"""Removing accounts that were deleted or disabled for longer than ``MG_USERS_DELETE_AFTER`` (decisions 18).

Accounts that nobody ever verified go as well (background.removal.unverified_accounts).

In batches: claim what is due, in one statement; take each account out of its domains and its relations, several at a
time, with no transaction open; delete all that worked with every trace of it, in one statement. Runs at the same time
have different accounts. What a killed run leaves claimed is resumed when its lease is over; what fails stays claimed,
and is tried again ever later, after all that was not tried yet.

A dependency that is away ends the run after a few calls: what was not tried is given back.
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

from background.removal import unverified_accounts
from background.removal.due import KINDS, DueAccount, count_due, due_accounts, is_due, kinds
from background.removal.forgetting import forget_old
from background.removal.removal_warnings import warn
from users.errors import Unavailable
from users.repository import purges
from users.repository.database import query
from users.repository.purges import LEASE, Claim
from users.rules.outbox_records import account_purged
from users.settings import settings
from users.steps.purge import detach
from users.steps.wake import wake_delivery
from users.telemetry.log import logger

__all__ = ["BATCH", "DueAccount", "count_due", "due_accounts", "sweep"]

BATCH = 500
_WORKERS = 16
_AWAY_AFTER = 16  # calls in a row, of different accounts, that found a dependency away
_LONGEST_BATCH = LEASE / 2  # seconds after which no further account of a batch is begun


class _Outcome(Enum):
    DETACHED = auto()
    FAILED = auto()
    UNTRIED = auto()


def sweep(time_is_left: Callable[[], bool]) -> dict[str, int]:
    """Warn, and remove what is due, until nothing is, time is over or a dependency is away.

    How many accounts were ``swept``, ``failed`` (to be tried again later), ``warned``, ``reminded`` to verify their
    address, and are ``left``; and how many old rows about accounts that stay were ``forgotten``. Raises Unavailable
    when the database goes away; the next run continues.
    """
    _date(time_is_left)
    _forget_expired(time_is_left)
    forgotten = forget_old(time_is_left)
    counts = {"swept": 0, "failed": 0, "warned": warn(time_is_left)}
    counts |= {"reminded": unverified_accounts.remind(time_is_left), "forgotten": forgotten}
    for candidates in (*(_due(kind) for kind in kinds()), _ABANDONED):
        if not _remove_all(candidates, counts, time_is_left):
            break
    else:
        _remove_unverified(counts, time_is_left)
    if counts["swept"] or counts["warned"] or counts["reminded"]:
        wake_delivery()
    return counts | {"left": sum(count_due().values())}


def _date(time_is_left: Callable[[], bool]) -> None:
    """Upstream's own SQL, where it still runs on the tables, sets a status and no date: it counts from now."""
    for status, since in KINDS.values():
        _repeat(
            f"UPDATE users SET {since} = now() WHERE id IN ("
            f" SELECT id FROM users WHERE status = {status} AND purging_at IS NULL AND {since} IS NULL LIMIT 1000)"
            " RETURNING 1",
            time_is_left,
        )


def _forget_expired(time_is_left: Callable[[], bool]) -> None:
    """Limits whose time is over: the names in their keys are digests, and yet somebody's. And addresses that may get
    mails again.
    """
    for table, key in {"users_throttle": "key", "users_mail_suppressions": "address"}.items():
        _repeat(
            f"DELETE FROM {table} WHERE {key} IN ("
            f" SELECT {key} FROM {table} WHERE expires_at < now() LIMIT 1000 FOR UPDATE SKIP LOCKED) RETURNING 1",
            time_is_left,
        )


def _repeat(statement: str, time_is_left: Callable[[], bool]) -> None:
    while time_is_left() and query(statement, {}, read_only=False):
        pass


def _due(kind: str) -> str:
    since = KINDS[kind][1]
    return f"SELECT u.id FROM users u WHERE {is_due(kind)} ORDER BY u.{since}, u.id"


# Claims whose run is dead or whose account failed, the later the more often it did.
_ABANDONED = """
    SELECT u.id FROM users u
    WHERE u.purging_at < now() - %(lease)s * interval '1 second'
        AND u.purging_at < now() - %(lease)s * interval '1 second' * 2 ^ LEAST(u.purge_attempts - 1, 6)
        AND u.status <> 0
    ORDER BY u.purging_at"""


def _remove_all(candidates: str, counts: dict[str, int], time_is_left: Callable[[], bool]) -> bool:
    """Remove what ``candidates`` finds, until it finds nothing; False when the run has to end before."""
    batch = f"{candidates} LIMIT {BATCH} FOR UPDATE SKIP LOCKED"
    parameters = {"after": settings().delete_after, "lease": LEASE}
    while time_is_left():
        if not settings().domains_grpc_url and not settings().spicedb_host:
            # Nothing happens between a claim and the deletion: the deletion alone will do.
            removed = purges.remove_chosen(batch, parameters, account_purged(""))
            counts["swept"] += removed
            if not removed:
                return True
            continue
        claim = _claim(batch, parameters)
        if claim is None:
            return True
        outcomes = _detach_all(claim, time_is_left)
        counts["swept"] += purges.remove(outcomes[_Outcome.DETACHED], account_purged(""))
        counts["failed"] += len(outcomes[_Outcome.FAILED].user_ids)
        if outcomes[_Outcome.UNTRIED].user_ids:
            purges.release(outcomes[_Outcome.UNTRIED])
            return False
    return False


def _remove_unverified(counts: dict[str, int], time_is_left: Callable[[], bool]) -> None:
    def detach_all(user_ids: list[str]) -> tuple[list[str], bool]:
        if not settings().domains_grpc_url and not settings().spicedb_host:
            return user_ids, True
        outcomes = _detach_all(Claim(user_ids, datetime.now(UTC)), time_is_left)
        counts["failed"] += len(outcomes[_Outcome.FAILED].user_ids)
        return list(outcomes[_Outcome.DETACHED].user_ids), not outcomes[_Outcome.UNTRIED].user_ids

    counts["swept"] += unverified_accounts.remove(time_is_left, detach_all)


def _claim(candidates: str, parameters: Mapping[str, Any]) -> Claim | None:
    statement = f"""
        WITH due AS MATERIALIZED ({candidates})
        UPDATE users u SET purging_at = now(), purge_attempts = purge_attempts + 1
        FROM due WHERE u.id = due.id RETURNING u.id, u.purging_at"""
    rows = query(statement, parameters, read_only=False)
    return Claim([row["id"] for row in rows], rows[0]["purging_at"]) if rows else None


def _detach_all(claim: Claim, time_is_left: Callable[[], bool]) -> dict[_Outcome, Claim]:
    """Take accounts out of their domains and relations; the claim by what became of each account."""
    attempts = _Attempts(time_is_left)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="sweep") as threads:
        pairs = list(zip(claim.user_ids, threads.map(attempts.detach, claim.user_ids), strict=True))
    return {wanted: Claim([user_id for user_id, one in pairs if one is wanted], claim.at) for wanted in _Outcome}


class _Attempts:
    """The remote calls of one batch: they stop when a dependency is away, or when time is over."""

    def __init__(self, time_is_left: Callable[[], bool]) -> None:
        self._time_is_left = time_is_left
        self._end = time.monotonic() + _LONGEST_BATCH
        self._lock = threading.Lock()
        self._away_in_a_row = 0

    def detach(self, user_id: str) -> _Outcome:
        """Remove one account's relations; runs in several threads."""
        if self._away_in_a_row >= _AWAY_AFTER or time.monotonic() > self._end or not self._time_is_left():
            return _Outcome.UNTRIED
        try:
            detach(user_id)
        except Unavailable as error:
            self._count(away=_is_away(error))
            logger.warning("account was not removed", dependency=error.dependency, cause=_reason(error))
            return _Outcome.FAILED
        self._count(away=False)
        return _Outcome.DETACHED

    def _count(self, *, away: bool) -> None:
        with self._lock:
            if self._away_in_a_row < _AWAY_AFTER:
                self._away_in_a_row = self._away_in_a_row + 1 if away else 0


def _reason(error: Unavailable) -> str:
    """gRPC's status by name; "refused" for an answer that it was not done."""
    code = getattr(error.__cause__, "code", None)
    return str(code().name) if code else "refused"


def _is_away(error: Unavailable) -> bool:
    """Whether another account would fare the same: not when the dependency answered that this one cannot be done."""
    return _reason(error) not in {"refused", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "ABORTED"}
