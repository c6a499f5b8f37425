"""Removing accounts that were deleted or disabled for longer than ``MG_USERS_DELETE_AFTER`` (decisions 18).

The sweep also removes accounts that nobody ever verified (background.removal.unverified_accounts).

It works in batches. One statement claims accounts that are due. With no transaction open, several threads take each
account out of its domains and remove its relations. One statement deletes all accounts for which that succeeded, with
every trace of them. Runs at the same time have different accounts. When the lease of a killed run is over, another run
resumes its claims. An account that failed stays claimed. Later runs try it again at growing intervals, after all
accounts that were not tried yet.

When a dependency is away, the run ends after a few calls and gives back the accounts that it has not tried.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import Enum, auto

from background.removal import unverified_accounts
from background.removal.due import count_due, due_accounts, kinds
from background.removal.forgetting import forget_expired, forget_old
from background.removal.removal_warnings import warn
from background.repository import removals
from background.repository.removals import ABANDONED, KINDS, Candidates, DueAccount, due
from users.errors import Unavailable
from users.repository import purges
from users.repository.purges import LEASE, Claim
from users.rules.outbox_records import account_purged
from users.settings import settings
from users.steps.purge import detach
from users.steps.wake import wake_delivery
from users.telemetry.log import logger

__all__ = ["BATCH", "DueAccount", "count_due", "due_accounts", "sweep"]

BATCH = 500
_WORKERS = 16
_AWAY_AFTER = 16  # failed calls in a row, for different accounts, after which a dependency counts as away
_LONGEST_BATCH = LEASE / 2  # seconds after which no further account of a batch is begun


class _Outcome(Enum):
    DETACHED = auto()
    FAILED = auto()
    UNTRIED = auto()


def sweep(time_is_left: Callable[[], bool]) -> dict[str, int]:
    """Warn, and remove accounts that are due, until there are none, time is over or a dependency is away.

    Return how many accounts were ``swept``, ``failed`` (to be tried again later), ``warned``, ``reminded`` to verify
    their address, and are ``left``; and how many old rows about accounts that stay were ``forgotten``. Raises
    Unavailable when the database goes away: the next run continues.
    """
    _date(time_is_left)
    forget_expired(time_is_left)
    forgotten = forget_old(time_is_left)
    counts = {"swept": 0, "failed": 0, "warned": warn(time_is_left)}
    counts |= {"reminded": unverified_accounts.remind(time_is_left), "forgotten": forgotten}
    for candidates in (*(due(kind, settings().delete_after) for kind in kinds()), ABANDONED):
        if not _remove_all(candidates, counts, time_is_left):
            break
    else:
        _remove_unverified(counts, time_is_left)
    if counts["swept"] or counts["warned"] or counts["reminded"]:
        wake_delivery()
    return counts | {"left": sum(count_due().values())}


def _date(time_is_left: Callable[[], bool]) -> None:
    """Date the accounts that have a status and no date. Upstream writes such rows if it still runs on the tables."""
    for kind in KINDS:
        while time_is_left() and removals.date(kind):
            pass


def _remove_all(candidates: Candidates, counts: dict[str, int], time_is_left: Callable[[], bool]) -> bool:
    """Remove ``candidates``, until there are none. Return False if the run has to end before."""
    while time_is_left():
        if not settings().domains_grpc_url and not settings().spicedb_host:
            # Without these services nothing happens between claim and deletion, so the deletion alone is enough.
            removed = removals.remove(candidates, BATCH, account_purged(""))
            counts["swept"] += removed
            if not removed:
                return True
            continue
        claim = removals.claim(candidates, BATCH)
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


def _detach_all(claim: Claim, time_is_left: Callable[[], bool]) -> dict[_Outcome, Claim]:
    """Take accounts out of their domains, and remove their relations. Return the claim, split by the outcomes."""
    attempts = _Attempts(time_is_left)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="sweep") as threads:
        pairs = list(zip(claim.user_ids, threads.map(attempts.detach, claim.user_ids), strict=True))
    return {wanted: Claim([user_id for user_id, one in pairs if one is wanted], claim.at) for wanted in _Outcome}


class _Attempts:
    """The remote calls of one batch. They stop when a dependency is away, or when time is over."""

    def __init__(self, time_is_left: Callable[[], bool]) -> None:
        self._time_is_left = time_is_left
        self._end = time.monotonic() + _LONGEST_BATCH
        self._lock = threading.Lock()
        self._away_in_a_row = 0

    def detach(self, user_id: str) -> _Outcome:
        """Remove one account's relations. Runs in several threads."""
        if self._away_in_a_row >= _AWAY_AFTER or time.monotonic() > self._end or not self._time_is_left():
            return _Outcome.UNTRIED
        try:
            detach(user_id)
        except Unavailable as error:
            self._count(away=_is_away(error))
            logger.warning("account was not removed", dependency=error.dependency, cause=error.reason)
            return _Outcome.FAILED
        self._count(away=False)
        return _Outcome.DETACHED

    def _count(self, *, away: bool) -> None:
        with self._lock:
            if self._away_in_a_row < _AWAY_AFTER:
                self._away_in_a_row = self._away_in_a_row + 1 if away else 0


def _is_away(error: Unavailable) -> bool:
    """Return whether a call for another account would fail as well: not if the dependency refused this account."""
    return error.reason not in {"refused", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "ABORTED"}
