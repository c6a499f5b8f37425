"""Roles and databases of a PostgreSQL server, made by its superuser."""

from abc import ABC, abstractmethod

import psycopg
from psycopg import sql

SUPERUSER = "postgres"


class Databases(ABC):
    """The roles and databases of one server."""

    @abstractmethod
    def conninfo_for(self, database: str, user: str = SUPERUSER) -> str:
        """Return the libpq connection string for `database`, as any `user`."""

    @property
    def conninfo(self) -> str:
        """The superuser's connection string."""
        return self.conninfo_for("postgres")

    def ensure_role(self, name: str, password: str, *, makes_roles: bool = False) -> None:
        """Make the login role `name` unless it exists, and set its password for TCP.

        The role has no privilege, or may make other roles with `makes_roles`.
        """
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone()
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}" if found is None else "ALTER ROLE {} PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
            if makes_roles:
                connection.execute(sql.SQL("ALTER ROLE {} CREATEROLE").format(sql.Identifier(name)))

    def ensure_database(self, name: str, owner: str) -> None:
        """Make the database `name` of `owner` unless it exists. Other roles may not connect."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if found is None:
                self.create_database(name, owner=owner)
            statement = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
            connection.execute(statement.format(sql.Identifier(name)))

    def create_database(self, name: str, template: str | None = None, owner: str = SUPERUSER) -> str:
        """Make an empty database, or a copy of `template`, which nobody may use meanwhile. Return its conninfo."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
        parts = (sql.Identifier(name), sql.Identifier(owner), sql.Identifier(template or "template1"))
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(statement.format(*parts))
        return self.conninfo_for(name, owner)

    def drop_database(self, name: str) -> None:
        """Remove a database, and end all connections to it."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
