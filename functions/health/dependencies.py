"""The state of the service's dependencies. All are asked at once. One without an answer in time has failed.

A dependency that hangs costs a thread. It is not asked again before it answers or its connection ends. The result is
kept for a second, so that frequent calls of /health do not load the database.
"""

import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass

from users.errors import UsersError
from users.peers import auth, spicedb
from users.repository.outbox import oldest_age
from users.settings import settings
from users.telemetry.log import logger

_LONGEST_WAIT = 0.7  # seconds; /health answers within one
_KEPT = 1.0  # seconds
_OLD_OUTBOX = 300.0  # seconds; the schedule of deliver_outbox alone would leave a row for one minute


@dataclass(frozen=True, slots=True)
class Check:
    """The result for one component: ``status`` is pass, warn or fail, ``value`` is in ``unit`` or None.

    ``name`` is ``component:measurement``, as in draft-inadarei-api-health-check.
    """

    name: str
    kind: str
    status: str
    unit: str
    value: float | None = None


class _Question:
    """One dependency, asked in a thread of its own."""

    def __init__(self, name: str, ask: Callable[[], float | None]) -> None:
        self.name = name
        self.milliseconds: float | None = None
        self.answer: float | None = None
        self._ask = ask
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self.milliseconds = None
            self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)
            self._thread.start()

    def wait(self, until: float) -> bool:
        """Return whether there is an answer by that moment."""
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))
        if self.milliseconds is None:
            logger.error("dependency unavailable", dependency=self.name)
        return self.milliseconds is not None

    def _run(self) -> None:
        started = time.perf_counter()
        try:
            self.answer = self._ask()
        except UsersError:
            return
        self.milliseconds = round((time.perf_counter() - started) * 1000, 1)


_questions: dict[str, _Question] = {}
_found: list[Check] = []
_found_at = float("-inf")


def checks() -> list[Check]:
    """Return the database, Auth, the age of the outbox and, where it is configured, SpiceDB."""
    global _found, _found_at
    if time.monotonic() - _found_at > _KEPT:
        _found, _found_at = _ask_all(), time.monotonic()
    return _found


def forget() -> None:
    """Forget the result, so that the next call asks again."""
    global _found_at  # noqa: PLW0603 -- see checks()
    _found_at = float("-inf")
    _questions.clear()


def _ask_all() -> list[Check]:
    asked: dict[str, Callable[[], float | None]] = {"database": oldest_age, "auth": auth.check_health}
    if settings().spicedb_host:
        asked["spicedb"] = spicedb.check_health
    for name, ask in asked.items():
        _questions.setdefault(name, _Question(name, ask)).begin()
    until = time.monotonic() + _LONGEST_WAIT
    answered = {name: _questions[name].wait(until) for name in asked}
    found = [
        Check(
            f"{name}:responseTime",
            "datastore" if name == "database" else "component",
            # Without SpiceDB most of the service works: relations are written later, administrators have to wait.
            "pass" if answered[name] else "warn" if name == "spicedb" else "fail",
            "ms",
            _questions[name].milliseconds,
        )
        for name in asked
    ]
    age = _questions["database"].answer
    if answered["database"] and age is not None:
        found.append(Check("outbox:age", "component", "warn" if age > _OLD_OUTBOX else "pass", "s", round(age, 1)))
    return found
