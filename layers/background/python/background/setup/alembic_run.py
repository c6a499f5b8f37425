"""Running the migrations by Alembic, on a connection of psycopg's.

This module and the migrations alone know Alembic and SQLAlchemy. Both take 250 ms to import, so it is imported only
where there is something to migrate.
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
    """Run what is missing up to ``target`` on a connection in autocommit, which it is again afterwards.

    Raises UnknownVersion, or psycopg.Error when a step fails; steps done before it stay done.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    # This pool gives the one connection, and never closes it.
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
        with suppress(psycopg.Error):  # the connection may be gone, and that is told already
            connection.rollback()
            connection.autocommit = True


def driver_connection() -> psycopg.Connection:
    """For a migration: psycopg's connection, which Alembic's ``op`` works on too."""
    connection = op.get_bind().connection.driver_connection
    if not isinstance(connection, psycopg.Connection):
        raise TypeError("migrations run on psycopg's connections only")
    return connection


def _first(error: BaseException | None) -> psycopg.Error:
    """The database's own error, from which others follow: SQLAlchemy's for it, and those of tidying up after it."""
    first: psycopg.Error = psycopg.InterfaceError(str(error))
    while error:
        first = error if isinstance(error, psycopg.Error) else first
        error = error.__context__
    return first
