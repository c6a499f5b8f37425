"""The answer of a function's new version to ``check_version``, which asks before the version serves (docs/deploy.md).

By then the version has been imported. It reads its settings, does what its modules have registered by ``needed`` (read
the secrets, ask the database), and imports what requests import late (users.snapstart). It changes nothing, and it does
not ask Auth: a deployment must not fail because another service is away.
"""

from collections.abc import Callable
from typing import Any

from users.errors import Unavailable
from users.readiness import READY, needs
from users.settings import WrongSettings, settings
from users.snapstart import import_late
from users.telemetry.log import logger


class NotReady(Exception):
    """Why a version cannot serve: variables and dependencies by their names, no values."""


def readiness_of(operation: str) -> Callable[[], dict[str, Any]]:
    """Return the function that answers ``CHECK`` by READY. It raises NotReady, and lets unforeseen errors through.

    It calls what the modules that are imported by now have registered. Modules that are imported later belong to single
    requests.
    """
    registered = needs()

    def check() -> dict[str, Any]:
        logger.append_keys(operation=operation)
        try:
            settings()
            for need in registered:
                need()
            import_late()
        except WrongSettings as error:
            raise _not_ready(str(error)) from error
        except Unavailable as error:
            raise _not_ready(f"{error.dependency}: {error.reason}") from error
        logger.info("ready")
        return dict(READY)

    return check


def _not_ready(problem: str) -> NotReady:
    logger.error("not ready", problem=problem)
    return NotReady(problem)
