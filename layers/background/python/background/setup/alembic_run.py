"""Alembic's run of the migrations, on a connection of psycopg.

Only this module and the migrations use Alembic and SQLAlchemy, which take 250 ms to import. So this module is imported
only when a migration is missing.
"""

from contextlib import suppress

import psycopg
from alembic import command, op
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from background.setup.versions import MIGRATIONS, UnknownVersion


def run(connection: psycopg.Connection, target: str) -> None:
    """Run the missing migrations up to ``target``. The connection is in autocommit before and afterwards.

    Raise UnknownVersion, or psycopg.Error when a step fails. Earlier steps stay done.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # This pool returns the one connection, and never closes it.
    engine = create_engine("postgresql+psycopg://", creator=lambda: connection, poolclass=StaticPool)
    connection.autocommit = False
    try:
        with engine.connect() as alchemy:
            config.attributes["connection"] = alchemy
            command.upgrade(config, target)
    except CommandError as error:
        raise UnknownVersion(str(error)) from error
    except (psycopg.Error, SQLAlchemyError) as error:
        raise _first(error) from None
    finally:
        with suppress(psycopg.Error):  # the connection may be gone, and that error is on its way
            connection.rollback()
            connection.autocommit = True


def driver_connection() -> psycopg.Connection:
    """Return psycopg's connection to a migration. Alembic's ``op`` uses the same connection."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError("migrations run on psycopg's connections only")
    return connection


def _first(error: BaseException | None) -> psycopg.Error:
    """Return the database's error, the first one. SQLAlchemy's error and errors of the cleanup follow from it."""
    first: psycopg.Error = psycopg.InterfaceError(str(error))
    while error:
        first = error if isinstance(error, psycopg.Error) else first
        error = error.__context__
    return first
