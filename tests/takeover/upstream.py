"""Databases at any migration of Magistrala (contract §6), and rows as Magistrala writes them."""

import base64
import json
import secrets
import uuid
from functools import cache
from typing import Any

import bcrypt
import psycopg

from tests.service import Service

PASSWORD = "password of upstream"
LAST = "clients_12"

_MIGRATIONS = {
    "clients_01": """
        CREATE TABLE clients (
            id VARCHAR(36) PRIMARY KEY,
            name VARCHAR(254) NOT NULL UNIQUE,
            domain_id VARCHAR(36),
            identity VARCHAR(254) NOT NULL UNIQUE,
            secret TEXT NOT NULL,
            tags TEXT[],
            metadata JSONB,
            created_at TIMESTAMP,
            updated_at TIMESTAMP,
            updated_by VARCHAR(254),
            status SMALLINT NOT NULL DEFAULT 0 CHECK (status >= 0),
            role SMALLINT DEFAULT 0 CHECK (status >= 0)
        )""",
    "clients_02": "ALTER TABLE clients ALTER COLUMN secret DROP NOT NULL",
    "clients_03": """
        ALTER TABLE clients ADD COLUMN username VARCHAR(254) UNIQUE,
            ADD COLUMN first_name VARCHAR(254) NOT NULL DEFAULT '',
            ADD COLUMN last_name VARCHAR(254) NOT NULL DEFAULT '',
            ADD COLUMN profile_picture TEXT;
        ALTER TABLE clients RENAME COLUMN identity TO email;
        ALTER TABLE clients DROP COLUMN name""",
    "clients_04": "ALTER TABLE clients RENAME TO users",
    "clients_05": "ALTER TABLE users ALTER COLUMN first_name DROP DEFAULT, ALTER COLUMN last_name DROP DEFAULT",
    "clients_06": """
        ALTER TABLE users ALTER COLUMN created_at TYPE TIMESTAMPTZ, ALTER COLUMN updated_at TYPE TIMESTAMPTZ""",
    "clients_07": """
        ALTER TABLE users ADD COLUMN verified_at TIMESTAMPTZ;
        CREATE TABLE users_verifications (
            user_id VARCHAR(36) NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            email VARCHAR(254) NOT NULL,
            otp VARCHAR(255),
            created_at TIMESTAMPTZ,
            expires_at TIMESTAMPTZ,
            used_at TIMESTAMPTZ
        );
        CREATE INDEX idx_users_verifications_lookup ON users_verifications (user_id, email, created_at DESC)""",
    "clients_08": "ALTER TABLE users RENAME CONSTRAINT clients_identity_key TO clients_email_key",
    "clients_09": "ALTER TABLE users ADD COLUMN auth_provider VARCHAR(254)",
    "clients_10": "ALTER TABLE users ADD COLUMN private_metadata JSONB",
    "clients_11": "SELECT",  # it changes only rows
    "clients_12": "SELECT",
}

# Users with NULLs in the columns that upstream leaves empty. Of a hundred: 5 disabled, 5 deleted, 1 external. One has
# the e-mail and one the username of a neighbour in other letter case. Every tenth has a verification link, and two
# thirds of the links are used or expired. Ages go back two years.
_USERS = """
INSERT INTO users (id, email, secret, tags, metadata, created_at, updated_at, updated_by, status, role, username,
                   first_name, last_name, verified_at)
SELECT md5(n::text)::uuid::text,
    CASE n %% 100 WHEN 50 THEN upper('user' || n - 1 || '@example.com') ELSE 'user' || n || '@example.com' END,
    CASE n %% 100 WHEN 7 THEN '' ELSE %(secret)s END,
    CASE n %% 3 WHEN 0 THEN ARRAY['site' || n %% 500, 'sensor'] END,
    CASE n %% 4 WHEN 0 THEN NULL ELSE jsonb_build_object('site', n %% 500) END,
    now() - n %% 700 * interval '1 day' - n * interval '1 second',
    CASE n %% 2 WHEN 0 THEN now() - n %% 700 * interval '1 hour' END,
    CASE n %% 2 WHEN 0 THEN md5(n::text)::uuid::text END,
    CASE n %% 20 WHEN 9 THEN 1 WHEN 11 THEN 2 ELSE 0 END,
    CASE n %% 200 WHEN 33 THEN NULL ELSE 0 END,
    CASE n %% 100 WHEN 60 THEN 'User' || n - 1 WHEN 7 THEN NULL ELSE 'user' || n END,
    'First ' || n %% 997, 'Last ' || n %% 499,
    CASE n %% 3 WHEN 0 THEN now() - interval '1 day' END
FROM generate_series(1, %(users)s) n"""
_LINKS = """
INSERT INTO users_verifications (user_id, email, otp, created_at, expires_at, used_at)
SELECT id, email, md5(id), now() - interval '1 hour',
    now() + CASE row_number() OVER (ORDER BY id) % 3 WHEN 0 THEN -1 ELSE 23 END * interval '1 hour',
    CASE row_number() OVER (ORDER BY id) % 3 WHEN 1 THEN now() END
FROM users WHERE right(email, 12) = '@example.com' AND right(split_part(email, '@', 1), 1) = '0'"""

# Statements of upstream's repository (users/postgres/users.go, users/postgres/verfications.go).
INSERT = """
INSERT INTO users (id, tags, email, secret, metadata, private_metadata, created_at, status, role, first_name, last_name,
                   username, profile_picture, auth_provider)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
RETURNING id, tags, email, metadata, private_metadata, created_at, status, first_name, last_name, username"""


def make_database(conninfo: str, migration: str = LAST) -> None:
    """Run upstream's migrations up to this one."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("CREATE TABLE gorp_migrations (id text PRIMARY KEY, applied_at timestamptz)")
        for name, statements in _MIGRATIONS.items():
            connection.execute(statements)
            connection.execute("INSERT INTO gorp_migrations VALUES (%s, now())", [name])
            if name == migration:
                return


def fill(conninfo: str, users: int) -> None:
    """Add many users, who share a hash, and their links."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(_USERS, {"users": users, "secret": hashed()})
        connection.execute(_LINKS)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE users")


@cache
def hashed() -> str:
    """Return a hash of PASSWORD as upstream stores it."""
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10, prefix=b"2a")).decode()


def add_user(service: Service, **changes: Any) -> str:
    """Insert a row as upstream writes it since clients_10. Return its id."""
    name = f"u{uuid.uuid4().hex[:8]}"
    row: dict[str, Any] = {
        "id": str(uuid.uuid4()),
        "tags": None,
        "email": f"{name}@example.com",
        "secret": hashed(),
        "metadata": "{}",
        "private_metadata": "{}",
        "created_at": "2025-01-01T00:00:00Z",
        "status": 0,
        "role": 0,
        "first_name": "Ada",
        "last_name": "L",
        "username": name,
        "profile_picture": None,
        "auth_provider": None,
    } | changes
    (answer,) = service.execute(INSERT, *row.values())
    assert answer["email"] == row["email"]
    return str(row["id"])


def add_link(service: Service, user_id: str, email: str) -> str:
    """Return the token of a verification mail as upstream sends it (contract §4.1)."""
    otp = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    service.execute(
        "INSERT INTO users_verifications (user_id, email, otp, created_at, expires_at)"
        " VALUES (%s, %s, %s, now(), now() + interval '24 hours')",
        user_id,
        email,
        otp,
    )
    return base64.urlsafe_b64encode(json.dumps({"user_id": user_id, "email": email, "otp": otp}).encode()).decode()
