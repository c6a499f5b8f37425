"""Time of a takeover of many users, and the longest wait of a request during it.

PYTHONPATH=.:layers/common/python:layers/background/python .venv/bin/python benchmarks/takeover.py --users 100000

Meanwhile, a writer updates one row after the other, like requests. The output contains its slowest statement.
"""

import argparse
import os
import threading
import time
import uuid

import psycopg

from local.parts.postgres import PostgresServer, temporary_postgres
from tests.takeover import upstream


def main() -> None:
    """Make upstream's database, take it over, and print the times."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--users", type=int, default=100_000)
    options = arguments.parse_args()
    with temporary_postgres() as server:
        _run(server, options.users)


def _run(server: PostgresServer, users: int) -> None:
    conninfo = server.create_database("users")
    upstream.make_database(conninfo)
    upstream.fill(conninfo, users)
    os.environ |= {
        "AWS_SAM_LOCAL": "true",
        "MG_USERS_DB_HOST": server.host,
        "MG_USERS_DB_PORT": str(server.port),
        "MG_USERS_DB_USER": "postgres",
        "MG_USERS_DB_NAME": "users",
        "MG_USERS_SECRET_KEY": uuid.uuid4().hex,
        "MG_USERS_LOG_LEVEL": "error",
    }
    from background.setup.bootstrap import bootstrap

    over, waits = threading.Event(), [0.0]

    def write() -> None:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            number = 0
            while not over.is_set():
                number = number % users + 1
                started = time.perf_counter()
                connection.execute("UPDATE users SET updated_at = now() WHERE username = %s", [f"user{number}"])
                waits.append(time.perf_counter() - started)

    writer = threading.Thread(target=write)
    writer.start()
    started = time.perf_counter()
    done = bootstrap()
    seconds = time.perf_counter() - started
    over.set()
    writer.join()
    print(f"{users} users taken over in {seconds:.1f} s; {done['case_conflicts']} case conflicts")
    print(f"{len(waits) - 1} updates meanwhile, the slowest took {max(waits) * 1000:.0f} ms")
    started = time.perf_counter()
    bootstrap()
    print(f"a second time: {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
