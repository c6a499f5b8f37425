"""Readiness: whether a version of a function can serve, found out before it serves (docs/deploy.md).

The function ``check_version`` invokes each new version with ``CHECK``. By then the version has been imported. It reads
its settings, does what its modules have registered by ``needed`` (read the secrets, ask the database), and imports what
requests import late (users.snapstart). It changes nothing, and it does not ask Auth: a deployment must not fail because
another service is away.

No request can be the event ``CHECK``: API Gateway, schedules and EventBridge wrap what they are given.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from users.errors import Unavailable
from users.log import logger
from users.settings import SettingsError, settings
from users.snapstart import import_late

Need = TypeVar("Need", bound=Callable[[], object])

CHECK: Mapping[str, Any] = {"check": "readiness"}
READY: Mapping[str, Any] = {"ready": True}

_needs: list[Callable[[], object]] = []


class NotReady(Exception):
    """Why a version cannot serve: variables and dependencies by their names, no values."""


def needed(need: Need) -> Need:
    """Register a function that has to succeed before a version serves; it raises SettingsError or Unavailable."""
    _needs.append(need)
    return need


def readiness_of(operation: str) -> Callable[[], dict[str, Any]]:
    """Return the function that answers ``CHECK`` by READY. It raises NotReady, and lets unforeseen errors through.

    It calls what the modules that are imported by now have registered. Modules that are imported later belong to single
    requests.
    """
    needs = tuple(_needs)

    def check() -> dict[str, Any]:
        logger.append_keys(operation=operation)
        try:
            settings()
            for need in needs:
                need()
            import_late()
        except SettingsError as error:
            raise _not_ready(str(error)) from error
        except Unavailable as error:
            raise _not_ready(f"{error.dependency}: {error.reason}") from error
        logger.info("ready")
        return dict(READY)

    return check


def _not_ready(problem: str) -> NotReady:
    logger.error("not ready", problem=problem)
    return NotReady(problem)
