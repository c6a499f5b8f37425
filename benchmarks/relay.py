"""The relay under changes: the time of an event, the runs and the empty runs, and the cost of a change.

    make benchmark        or: python benchmarks/relay.py [--seconds 20] [--put-ms 20], with the layers in PYTHONPATH

PostgreSQL is real. deliver_outbox runs in worker processes of the local gateway, and changes wake it over the Invoke API.
The event bus is an endpoint with EventBridge's protocol that answers each PutEvents after `--put-ms`. Four processes make
changes at random moments (Poisson), and wake the relay as the functions do. The time of an event is from its commit to
the bus' answer. CPU time is that of all processes, including the four. The relay's time is what Lambda would bill. With
`--invoke-ms`, a woken run begins later, as on AWS.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import psycopg
from relay_peers import FUNCTION, Bus, delayed_api, invoke

from local.parts.gateway import Gateway
from local.parts.postgres import PostgresServer, temporary_postgres

RATES = (10, 40, 80)  # changes a second
CHANGERS = 4
BACKLOG = 10_000


def change(first: int, rate: float, seconds: float) -> None:
    """Make changes and wake the relay. At the end, print each event's number and the moment of its commit."""
    from users.repository.outbox import record
    from users.rules.outbox_records import Record
    from users.steps.wake import wake_delivery

    chance = random.Random(first)
    committed = {}
    begin = moment = time.monotonic()
    number = first
    while (moment := moment + chance.expovariate(rate)) < begin + seconds:
        time.sleep(max(0.0, moment - time.monotonic()))
        payload = {"number": number, "operation": "user.update", "occurred_at": time.time_ns()}
        record(f"u{number}", [Record(channel="event", name="user.update", payload=payload)])
        committed[number] = time.monotonic()
        wake_delivery()
        number += CHANGERS
    json.dump(committed, sys.stdout)


def runs(log: Path, since: int) -> tuple[list[dict[str, Any]], float]:
    """Return the counts that each run logged from an offset on, and the seconds of all runs."""
    lines = log.read_bytes()[since:].decode(errors="replace").splitlines()
    counts = [json.loads(line) for line in lines if '"message":"delivered"' in line]
    metrics = [json.loads(line) for line in lines if '"CloudWatchMetrics"' in line]
    return counts, sum(sum(line["Latency"]) for line in metrics) / 1000


def processor_seconds() -> float:
    """Return the CPU seconds of all child processes, including ended ones."""
    total = os.times().children_user + os.times().children_system
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def wait_until_empty(connection: psycopg.Connection[Any]) -> None:
    """Return when the outbox is empty and no run waits for more."""
    while connection.execute("SELECT EXISTS (SELECT FROM users_outbox)").fetchone() != (False,):
        time.sleep(0.05)
    time.sleep(1)


def measure_rate(rate: int, seconds: float, bus: Bus, connection: psycopg.Connection[Any], log: Path) -> str:
    """Make changes at a rate, and return a line of the table."""
    bus.answered.clear()
    since = log.stat().st_size
    before = processor_seconds()
    command = [sys.executable, __file__, "--changer"]
    changers = [
        subprocess.Popen([*command, f"{first},{rate / CHANGERS},{seconds}"], stdout=subprocess.PIPE)
        for first in range(CHANGERS)
    ]
    committed: dict[int, float] = {}
    for changer in changers:
        output, _ = changer.communicate()
        committed |= {int(number): moment for number, moment in json.loads(output).items()}
    wait_until_empty(connection)
    spent = processor_seconds() - before
    ended, billed = runs(log, since)
    empty = [
        run for run in ended if not any(run.get(name) for name in ("delivered", "refused", "parked", "unavailable"))
    ]
    milliseconds = sorted((bus.answered[number] - moment) * 1000 for number, moment in committed.items())
    p50, p99 = (milliseconds[int(len(milliseconds) * share)] for share in (0.5, 0.99))
    return (
        f"| {rate} | {len(committed)} | {len(ended)} | {len(empty)} | {100 * len(empty) / max(len(ended), 1):.0f} % "
        f"| {statistics.mean(milliseconds):.0f} | {p50:.0f} | {p99:.0f} | {milliseconds[-1]:.0f} "
        f"| {1000 * spent / len(committed):.1f} | {1000 * billed / len(committed):.0f} |"
    )


def measure_backlog(bus: Bus, connection: psycopg.Connection[Any], url: str) -> float:
    """Return the rows a second of one run that finds many events, each of another account."""
    connection.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
        " SELECT gen_random_uuid(), 'u' || n, 'event', 'user.update', jsonb_build_object('number', n)"
        " FROM generate_series(1, %s) n",
        (BACKLOG,),
    )
    bus.answered.clear()
    begin = time.monotonic()
    invoke(url, kind="RequestResponse")
    return len(bus.answered) / (max(bus.answered.values()) - begin)


def variables(server: PostgresServer, bus_url: str) -> dict[str, str]:
    """Return the variables of the functions and of the changes."""
    return {
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL_EVENTBRIDGE": bus_url,
        "MG_USERS_DB_HOST": server.host,
        "MG_USERS_DB_PORT": str(server.port),
        "MG_USERS_DB_USER": "postgres",
        "MG_USERS_DB_NAME": "users",
        "MG_USERS_ES_URL": "eventbridge://users",
        "MG_LOCAL_SCHEDULES": "off",
        "OUTBOXFUNCTION": FUNCTION,
    }


def main() -> None:
    """Measure each rate and a backlog, and print a table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=20.0)
    arguments.add_argument("--put-ms", type=float, default=20.0)
    arguments.add_argument("--invoke-ms", type=float, default=0.0)
    arguments.add_argument("--rates", default=",".join(map(str, RATES)))
    arguments.add_argument("--changer", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.changer:
        first, rate, seconds = given.changer.split(",")
        change(int(first), float(rate), float(seconds))
        return
    bus = Bus(given.put_ms / 1000)
    with tempfile.TemporaryDirectory() as folder, temporary_postgres() as server, bus.served() as bus_url:
        conninfo = server.create_database("users")
        os.environ |= variables(server, bus_url) | {"MG_USERS_LOG_LEVEL": "warn"}  # only for this process
        from background.setup.schema import migrate

        migrate()
        log = Path(folder) / "gateway.log"
        gateway = Gateway(environment=os.environ | {"MG_USERS_LOG_LEVEL": "info"}, log=log)
        with gateway, psycopg.connect(conninfo, autocommit=True) as connection:
            url = f"http://127.0.0.1:{gateway.lambda_port}"
            with delayed_api(url, given.invoke_ms / 1000) as woken_url:
                os.environ["AWS_ENDPOINT_URL_LAMBDA"] = woken_url
                measure_rate(max(RATES), 3, bus, connection, log)  # the environments start and import their modules
                print(
                    "| changes/s | changes | runs | find nothing | share | ms: mean | p50 | p99 | most | CPU ms a change | relay ms a change |"
                )
                print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
                for rate in map(int, given.rates.split(",")):
                    print(measure_rate(rate, given.seconds, bus, connection, log), flush=True)
            print(f"\none relay delivers {measure_backlog(bus, connection, url):.0f} rows/s of a backlog of {BACKLOG}")


if __name__ == "__main__":
    main()
