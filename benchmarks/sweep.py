"""Removal of accounts whose grace period is over: upstream's method beside ours, in one run on one server.

    make benchmark        or: python benchmarks/sweep.py [--due 100000] [--upstream 5000], with the layers in PYTHONPATH

Upstream's method is contract §4.6. It reads a page of at most 100, newest first, with a count like its lists. For each
account, it calls Domains and SpiceDB, and sends one DELETE that cascades to the verifications. Here it removes only the
first `--upstream` accounts, because all would take too long, from tables that upstream's migrations make. Our method
removes all accounts, also their mail tokens, known addresses, limits and undelivered mails, and records each removal in
the outbox.

The first line measures only the database. In the second line, both methods call local/auth, a single Python process
instead of SpiceDB, which limits our method. Quote the ratios.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import psycopg

from local.parts.auth import AuthServer
from local.parts.postgres import PostgresServer

_ACCOUNTS = """
INSERT INTO users (id, first_name, last_name, tags, email, username, secret, metadata, created_at, updated_at, verified_at,
    status, deleted_at)
SELECT md5(n::text)::uuid::text, 'Ada', initcap(translate(substr(md5('last' || n), 1, 8), '0123456789', 'eioulnrsta')),
    ARRAY['device'], 'mail' || n || '@example.com', 'user_' || md5(n::text), '$argon2id$',
    jsonb_build_object('site', n %% 1000), timestamptz '2020-01-01' + n * interval '1 minute',
    now() - interval '31 days' + n * interval '10 ms', now(), 2, now() - interval '31 days' + n * interval '10 ms'
FROM generate_series(1, %(due)s) n"""
_TRACES = """
INSERT INTO users_verifications (user_id, email, otp, created_at) SELECT id, email, id, now() FROM users;
INSERT INTO users_one_time_tokens (digest, user_id, purpose, email, expires_at)
    SELECT sha256(id::bytea), id, 'verification', email, now() FROM users;
INSERT INTO users_known_addresses (user_id, address, logged_in_at) SELECT id, md5(id), now() FROM users;
INSERT INTO users_throttle (key, user_id, hits, expires_at, hit_at)
    SELECT 'login:identity:' || id, id, 1, now() + interval '1 hour', now() FROM users
"""
_UPSTREAM_TABLES = """
CREATE SCHEMA upstream;
CREATE TABLE upstream.users AS SELECT id, email, secret, tags, metadata, created_at, updated_at, updated_by, status, role,
    username, first_name, last_name, profile_picture, verified_at, auth_provider, private_metadata FROM public.users;
ALTER TABLE upstream.users ADD PRIMARY KEY (id), ADD UNIQUE (email), ADD UNIQUE (username);
CREATE TABLE upstream.users_verifications AS SELECT * FROM public.users_verifications;
ALTER TABLE upstream.users_verifications ADD FOREIGN KEY (user_id) REFERENCES upstream.users (id) ON DELETE CASCADE;
CREATE INDEX ON upstream.users_verifications (user_id, email, created_at DESC)
"""
_PAGE = """
SELECT u.id, u.tags, u.email, u.metadata, u.status, u.role, u.first_name, u.last_name, u.username, u.created_at, u.updated_at,
    u.profile_picture, COALESCE(u.updated_by, '') AS updated_by, u.verified_at, COUNT(*) OVER() AS total_count
FROM upstream.users u WHERE u.status = 2 AND u.role = 0
ORDER BY COALESCE(u.updated_at, u.created_at) DESC, u.id DESC LIMIT 100 OFFSET 0"""


def _resident() -> float:
    """Return the MiB of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _upstream(connection: psycopg.Connection, most: int) -> float:
    """Remove the first ``most`` accounts, and return the accounts in a second."""
    from users.steps.purge import detach

    removed, started = 0, time.perf_counter()
    while removed < most and (page := connection.execute(_PAGE).fetchall()):
        for account in page:
            detach(account[0])
            connection.execute("DELETE FROM upstream.users WHERE id = %s", (account[0],))
        removed += len(page)
    return removed / (time.perf_counter() - started)


def _ours(due: int) -> tuple[float, list[float]]:
    """Remove all accounts. Return the accounts in a second, and the memory at start, middle and end."""
    from background.removal.sweep import count_due, sweep

    resident = [_resident()]

    def time_is_left() -> bool:
        if len(resident) == 1 and time.perf_counter() > looks_at[0]:
            looks_at[0] = time.perf_counter() + 0.5
            if count_due()["deleted"] < due / 2:
                resident.append(_resident())
        return True

    looks_at, started = [0.0], time.perf_counter()
    counts = sweep(time_is_left)
    rate = counts["swept"] / (time.perf_counter() - started)
    quiet = {"failed": 0, "warned": 0, "reminded": 0, "forgotten": 0, "left": 0}
    assert counts == {"swept": due, **quiet}, counts
    return rate, [*resident, _resident()]


def _run(server: PostgresServer, name: str, due: int, upstream: int) -> None:
    os.environ["MG_USERS_DB_NAME"] = name
    _forget()
    from background.setup.schema import migrate

    conninfo = server.create_database(name)
    migrate()
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(_ACCOUNTS, {"due": due})
        for statement in (*_TRACES.split(";"), *_UPSTREAM_TABLES.split(";")):
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
        theirs = _upstream(connection, min(upstream, due))
    ours, resident = _ours(due)
    memory = " / ".join(f"{mebibytes:.0f}" for mebibytes in resident)
    print(f"{name:28}{theirs:12.0f}{ours:10.0f}{ours / theirs:10.1f}   {memory}", flush=True)


def _durable(folder: Path) -> PostgresServer:
    """Return a server that flushes each commit to the disk, as in production."""
    folder.chmod(0o711)
    return PostgresServer(folder / "data", None, folder / "postgres.log")


def _forget() -> None:
    from users import settings
    from users.peers import domains, spicedb
    from users.repository import database

    database.close()
    domains.close()
    spicedb._permissions.cache_clear()
    spicedb._channel.cache_clear()
    settings.settings.cache_clear()


def main() -> None:
    """Measure without and with the other services, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--due", type=int, default=100_000)
    arguments.add_argument("--upstream", type=int, default=5_000)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="mg-sweep-", dir="/tmp") as folder, _durable(Path(folder)) as server:
        os.environ |= {
            "MG_USERS_DB_HOST": server.host,
            "MG_USERS_DB_PORT": str(server.port),
            "MG_USERS_DB_USER": "postgres",
        }
        print(f"{options.due} accounts are due; accounts removed in a second, and our MiB at start / middle / end")
        print(f"{'':28}{'upstream':>12}{'ours':>10}{'ratio':>10}   memory")
        _run(server, "database alone", options.due, options.upstream)
        auth = AuthServer(server.create_database("auth"), Path(folder) / "keys")
        auth.start()
        try:
            auth.wait_ready()
            os.environ |= {
                "MG_DOMAINS_GRPC_URL": auth.grpc_url,
                "MG_DOMAINS_GRPC_TIMEOUT": "10s",
                "MG_SPICEDB_TIMEOUT": "10s",
                "MG_SPICEDB_HOST": "127.0.0.1",
                "MG_SPICEDB_PORT": str(auth.ports.spicedb),
            }
            with psycopg.connect(auth.db_url, autocommit=True) as connection:
                connection.execute(
                    "INSERT INTO auth.relationships SELECT 'platform', 'magistrala', 'member', 'user',"
                    " md5(n::text)::uuid::text FROM generate_series(1, %s) n",
                    (options.due,),
                )
            _run(server, "with domains and spicedb", options.due, options.upstream)
        finally:
            auth.stop()


if __name__ == "__main__":
    main()
