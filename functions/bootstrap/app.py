"""Set the service up: check the settings, migrate the database, make the first administrator.

Invoked by ``make run`` (event ``{}``), and by CloudFormation as a custom resource, which always gets an answer.
"""

from collections.abc import Mapping
from typing import Any

import psycopg
from alembic.util import CommandError
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from operations.admin import ensure_administrator
from operations.custom_resource import respond
from operations.schema import migrate
from users.database import close
from users.errors import UsersError
from users.log import logger
from users.one_time_tokens import check_secret
from users.passwords import password_pattern
from users.settings import SettingsError

# CommandError: the database is a newer release's, as it is when CloudFormation rolls an update back.
_FAILURES = (SettingsError, UsersError, SQLAlchemyError, CommandError, psycopg.Error, RuntimeError)


class BootstrapFailed(Exception):
    """Nothing that was done before is lost; the same call continues when the cause is mended."""


def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """What was done: the schema's version, and a sentence on the administrator. BootstrapFailed says what to do."""
    logger.append_keys(operation="bootstrap", request_id=context.aws_request_id)
    if "ResponseURL" not in event:
        return _bootstrap()
    try:
        done = {} if event["RequestType"] == "Delete" else _bootstrap()
    except BootstrapFailed as error:
        respond(event, context.log_stream_name, str(error))
        return {"failure": str(error)}
    respond(event, context.log_stream_name)
    return done


def _bootstrap() -> dict[str, str]:
    try:
        check_secret()
        password_pattern()
        version = migrate()
        close()  # the role's time limits hold for new connections
        administrator = ensure_administrator()
    except _FAILURES as error:
        logger.error("bootstrap failed", exception_type=type(error).__name__)
        raise BootstrapFailed(_advice(error)) from error
    logger.info("bootstrapped", schema=version, administrator=administrator)
    return {"schema": version, "administrator": administrator}


def _advice(error: Exception) -> str:
    if isinstance(error, OperationalError):
        error = error.orig or error  # without the statement and SQLAlchemy's links
    if isinstance(error, psycopg.OperationalError | UsersError):
        return f"the database cannot be used, check MG_USERS_DB_*: {error}"
    return str(error)
