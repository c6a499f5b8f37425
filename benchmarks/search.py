"""Lists and searches over a million users: upstream's statements beside ours, in one run on one server.

    make benchmark        or: python benchmarks/search.py [--users 1000000] [--runs 15], with the layers in PYTHONPATH

Upstream's statements are those of contract §3 and contract §6, with ILIKE infixes and `COUNT(*) OVER()`. They run on a
copy of the same rows, in the table and with the indexes of upstream's migrations. Our statements are those of the
repository, with everything that they do: a login also counts the attempt against its limits. Times are in milliseconds,
of server and driver together. Quote the ratios.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import psycopg

from local.parts.postgres import PostgresServer, temporary_postgres

ROWS = """
INSERT INTO users (id, first_name, last_name, tags, email, username, secret, metadata, created_at, updated_at, verified_at)
SELECT md5(n::text)::uuid::text,
    (ARRAY['Ada', 'Grace', 'Alan', 'Edsger', 'Barbara', 'Donald', 'Margaret', 'Linus'])[1 + n %% 8],
    initcap(translate(substr(md5('last' || n %% 20000), 1, 8), '0123456789', 'eioulnrsta')),
    CASE WHEN n %% 50 = 0 THEN ARRAY['gateway', 'site' || n %% 1000] ELSE ARRAY['device'] END,
    translate(substr(md5('mail' || n), 1, 9), '0123456789', 'eioulnrsta') || n || '@example.com',
    CASE WHEN n %% 4 = 0 THEN 'sensor_' ELSE '' END || translate(substr(md5(n::text), 1, 10), '0123456789', 'eioulnrsta') || n,
    '$argon2id$',
    jsonb_build_object('site', n %% 1000, 'floor', n %% 7),
    timestamptz '2020-01-01' + n * interval '1 minute',
    CASE WHEN n %% 3 = 0 THEN timestamptz '2021-01-01' + n * interval '1 minute' END,
    now()
FROM generate_series(1, %(users)s) n"""

_UPSTREAM = """
SELECT u.id, u.tags, u.email, u.metadata, u.status, u.role, u.first_name, u.last_name, u.username, u.created_at,
    u.updated_at, u.profile_picture, COALESCE(u.updated_by, '') AS updated_by, u.verified_at, COUNT(*) OVER() AS total_count
FROM upstream.users u WHERE {condition}
ORDER BY COALESCE(u.updated_at, u.created_at) DESC, u.id DESC LIMIT 10 OFFSET {offset}"""

_UPSTREAM_TABLE = """
CREATE SCHEMA upstream;
CREATE TABLE upstream.users AS SELECT id, email, secret, tags, metadata, created_at, updated_at, updated_by, status, role,
    username, first_name, last_name, profile_picture, verified_at, auth_provider, private_metadata FROM public.users;
ALTER TABLE upstream.users ADD PRIMARY KEY (id), ADD UNIQUE (email), ADD UNIQUE (username);
ANALYZE upstream.users;
ANALYZE public.users"""


def _median(run: Callable[[], Any], runs: int) -> float:
    """Return the median in milliseconds, or NaN if the time limit of the role ends the statement."""
    from users.errors import BadRequest

    times = []
    for number in range(runs + 2):
        started = time.perf_counter()
        try:
            run()
        except BadRequest:
            return float("nan")
        if number >= 2:  # the first two fill caches and plans
            times.append((time.perf_counter() - started) * 1000)
        if time.perf_counter() - started > 1 and number >= 2:
            break
    return statistics.median(times)


def _cursor(position: int) -> str:
    """Return the cursor of the page after so many rows."""
    from users.rules.cursor import Cursor, Place

    with psycopg.connect(os.environ["BENCHMARK_CONNINFO"]) as connection:
        found = connection.execute(
            "SELECT COALESCE(updated_at, created_at)::text, id FROM users ORDER BY 1 DESC OFFSET %s LIMIT 1",
            (position,),
        ).fetchone()
    assert found is not None
    place = Place(operation="list_users", order="updated_at", descending=True)
    return Cursor(value=found[0], id=found[1]).encode(place)


def _cases(users: int, admin: str) -> list[tuple[str, str, int, Callable[[], Any]]]:
    """Return name, upstream's condition and offset, and our call of each case."""
    from users.repository import logins, pages
    from users.rules.listing import read_listing, read_search
    from users.rules.query_string import Query

    deep = users * 9 // 10
    ordinary = "u.status = 0 AND u.role = 0"

    def listed(query: str) -> Callable[[], Any]:
        return lambda: pages.list_users(admin, read_listing(Query(query)))

    def searched(query: str) -> Callable[[], Any]:
        return lambda: pages.search_users(admin, read_search(Query(query)))

    with psycopg.connect(os.environ["BENCHMARK_CONNINFO"]) as connection:
        found = connection.execute("SELECT username, email FROM users ORDER BY id OFFSET 1000 LIMIT 1").fetchone()
        assert found is not None
    rare, email = found[0][-12:], found[1]
    return [
        ("list: first page", "u.status = 0", 0, listed("")),
        ("search: rare term", f"{ordinary} AND u.username ILIKE '%{rare}%'", 0, searched(f"username={rare}")),
        ("search: common term", f"{ordinary} AND u.username ILIKE '%sensor%'", 0, searched("username=sensor")),
        ("search: two letters", f"{ordinary} AND u.first_name ILIKE '%zq%'", 0, searched("first_name=zq")),
        ("list: tag", "u.status = 0 AND u.tags @> ARRAY['site500']", 0, listed("tags=site500")),
        (
            "list: metadata",
            "u.status = 0 AND u.metadata @> '{\"site\": 77}'",
            0,
            listed("metadata=%7B%22site%22%3A77%7D"),
        ),
        ("list: 90 % deep, offset", "u.status = 0", deep, listed(f"offset={deep}")),
        ("list: 90 % deep, cursor", "u.status = 0", deep, listed(f"cursor={_cursor(deep)}")),
        ("login by e-mail", f"u.email = '{email}'", 0, lambda: logins.begin_login(email, "192.0.2.1")),
    ]


def main() -> None:
    """Make the tables, run every case on both, and print the results."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--users", type=int, default=1_000_000)
    arguments.add_argument("--runs", type=int, default=15)
    options = arguments.parse_args()
    with temporary_postgres() as server:
        _run(server, options.users, options.runs)


def _run(server: PostgresServer, users: int, runs: int) -> None:
    conninfo = server.create_database("users")
    os.environ |= {
        "BENCHMARK_CONNINFO": conninfo,
        "MG_USERS_DB_HOST": server.host,
        "MG_USERS_DB_PORT": str(server.port),
        "MG_USERS_DB_USER": "postgres",
        "MG_USERS_DB_NAME": "users",
        "MG_USERS_SECRET_KEY": "0123456789abcdef0123456789abcdef",
    }
    from background.setup.schema import migrate

    migrate("0005")  # later migrations make the indexes of search: that is faster after the rows than before
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET statement_timeout = 0")
        connection.execute(ROWS, {"users": users})
        connection.execute("UPDATE users SET role = 1 WHERE id = (SELECT id FROM users LIMIT 1)")
        migrate()
        for statement in _UPSTREAM_TABLE.split(";"):
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE users")
        admin = connection.execute("SELECT id FROM users WHERE role = 1").fetchone()
        assert admin is not None
        print(f"{users} users; median of {runs} runs, ms")
        print(f"{'case':28}{'upstream':>12}{'ours':>10}{'ratio':>10}")
        for name, condition, offset, ours in _cases(users, admin[0]):
            statement = _UPSTREAM.format(condition=condition, offset=offset)
            theirs = _median(lambda: connection.execute(statement).fetchall(), min(runs, 5))  # noqa: B023
            mine = _median(ours, runs)
            print(f"{name:28}{theirs:12.2f}{mine:10.2f}{theirs / mine:10.1f}", flush=True)


if __name__ == "__main__":
    main()
