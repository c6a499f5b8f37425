"""The setup of the service: settings, database, accounts of a taken-over database, the first administrator.

The function ``bootstrap`` and the command ``python -m users bootstrap`` call it.
"""

import psycopg

from background.setup import takeover
from background.setup.admin import ensure_administrator
from background.setup.auth_keys import check_address_of_keys
from background.setup.database_errors import advice
from background.setup.preflight import DatabaseUnfit
from background.setup.restricted_role import ensure_restricted_role
from background.setup.schema import exclusive, patiently, upgrade
from background.setup.time_limit import OutOfTime
from background.setup.versions import UnknownVersion
from users.aws.secrets import forget
from users.errors import UsersError
from users.repository.database import close
from users.rules.passwords import password_pattern
from users.rules.secret_key import check_secret_key
from users.settings import WrongSettings, settings
from users.telemetry.log import logger

_AGAIN = "what was done stays done, and the same command goes on from there"


class BootstrapFailed(Exception):
    """Bootstrap stopped. Its finished steps stay. When the problem of the message is solved, the same call goes on."""


class NewerRelease(BootstrapFailed):
    """The database contains a migration that this release lacks. Nothing was changed."""


def bootstrap(seconds: float | None = None) -> dict[str, str | int]:
    """Return the schema's version, a sentence on the administrator, and the counts of ``takeover``.

    Raise BootstrapFailed with the next step, also when ``seconds`` do not suffice.
    """
    forget()  # so that a run right after the rotation of a password sets the new password
    try:
        _check_settings()
        with exclusive(seconds) as connection:
            version = upgrade(connection)
            if settings().db_owner:
                ensure_restricted_role(connection)
            close()  # the role's time limits hold for new connections
            administrator = ensure_administrator()
            patiently(connection, lambda: takeover.complete_accounts(connection))
            _release(connection)
            report = takeover.report(connection)
    except (WrongSettings, DatabaseUnfit) as error:
        raise _failed(error, str(error)) from error
    except OutOfTime as error:
        message = f"there was not enough time: {_AGAIN}; `python -m users bootstrap` has no limit"
        raise _failed(error, message) from error
    except UnknownVersion as error:
        message = f"this database is of a newer release, or not of this service: deploy that release ({error})"
        raise NewerRelease(message) from error
    except (UsersError, psycopg.Error) as error:
        raise _failed(error, f"{advice(error)}; {_AGAIN}") from error
    logger.info("bootstrapped", schema=version, administrator=administrator)
    return {"schema": version, "administrator": administrator, **report.as_values()}


def _check_settings() -> None:
    """Raise WrongSettings that names every variable with a wrong value."""
    problems: dict[str, None] = {}
    for check in (settings, check_secret_key, password_pattern, check_address_of_keys):
        try:
            check()
        except WrongSettings as error:
            problems |= dict.fromkeys(str(error).splitlines())
    if problems:
        raise WrongSettings("\n".join(problems))


def _release(connection: psycopg.Connection) -> None:
    try:
        takeover.release_case_conflicts(connection)
    except psycopg.IntegrityError:  # another account took such a name at this moment
        logger.warning("the next bootstrap looks at case conflicts again")


def _failed(error: Exception, message: str) -> BootstrapFailed:
    logger.error("bootstrap failed", exception_type=type(error).__name__)
    return BootstrapFailed(message)
