"""The relay under changes: how long an event takes, how many runs there are and find nothing, what each change costs.

    make benchmark        or: python benchmarks/relay.py [--seconds 20] [--put-ms 20], with the layers in PYTHONPATH

Real PostgreSQL, and deliver_outbox in worker processes of the local gateway, which changes wake over its Invoke API. The
event bus is an endpoint that speaks EventBridge's protocol and answers each PutEvents after `--put-ms`. Four processes
make changes at random moments (Poisson) and wake the relay as the functions do. The time of an event is from its commit
to the bus' answer. CPU time is that of all processes, the changes' own included; the relay's time is what Lambda would
bill. `--invoke-ms` lets a woken run begin later, as on AWS.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import psycopg
from loopback_server import serving

from local.parts.gateway import Gateway
from local.parts.postgres import PostgresServer, temporary_postgres

RATES = (10, 40, 80)  # changes a second
CHANGERS = 4
BACKLOG = 10_000
_FUNCTION = "DeliverOutboxFunction"
_INVOKE = f"/2015-03-31/functions/{_FUNCTION}/invocations"


class Bus:
    """What arrived: by each event's number, the moment at which the bus said that it has it."""

    def __init__(self, put_seconds: float) -> None:
        self.answered: dict[int, float] = {}
        self._put_seconds = put_seconds

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve on a free port; the address."""
        bus = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                """Answer PutEvents, and any other call by nothing."""
                entries = json.loads(self.rfile.read(int(self.headers["content-length"]))).get("Entries", [])
                time.sleep(bus._put_seconds)
                body = json.dumps({"FailedEntryCount": 0, "Entries": [{"EventId": "1"} for _ in entries]}).encode()
                moment = time.monotonic()
                for entry in entries:
                    bus.answered.setdefault(json.loads(entry["Detail"])["number"], moment)
                head = f"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        with serving(Handler) as url:
            yield url


@contextmanager
def delayed_api(url: str, seconds: float) -> Iterator[str]:
    """The Invoke API, whose asynchronous invokes reach the function only after a time."""

    def later(path: str) -> None:
        time.sleep(seconds)
        invoke(url, path)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            """Take it, and pass it on later."""
            self.rfile.read(int(self.headers["content-length"]))
            threading.Thread(target=later, args=(self.path,), daemon=True).start()
            self.wfile.write(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    if seconds == 0:
        yield url
    else:
        with serving(Handler) as delayed:
            yield delayed


def invoke(url: str, path: str = _INVOKE, *, kind: str = "Event") -> None:
    """Run deliver_outbox; RuntimeError when the API does not take the call."""
    address = urlsplit(url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=120)
    connection.request("POST", path, b"{}", {"content-type": "application/json", "x-amz-invocation-type": kind})
    response = connection.getresponse()
    text = response.read()
    connection.close()
    if response.status >= 300 or response.getheader("x-amz-function-error"):
        raise RuntimeError(f"{response.status} {text.decode()}")


def change(first: int, rate: float, seconds: float) -> None:
    """Be one of the processes that make changes: commit, wake; tell each event's number and moment at the end."""
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
    """The counts of each run that ended, as it told them, from an offset of the log on; the seconds of all runs."""
    lines = log.read_bytes()[since:].decode(errors="replace").splitlines()
    counts = [json.loads(line) for line in lines if '"message":"delivered"' in line]
    metrics = [json.loads(line) for line in lines if '"CloudWatchMetrics"' in line]
    return counts, sum(sum(line["Latency"]) for line in metrics) / 1000


def processor_seconds() -> float:
    """Seconds of processor time of all processes that this one has started, those that have ended included."""
    total = os.times().children_user + os.times().children_system
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def wait_until_empty(connection: psycopg.Connection[Any]) -> None:
    """Return when everything is delivered, and no run waits for more."""
    while connection.execute("SELECT EXISTS (SELECT FROM users_outbox)").fetchone() != (False,):
        time.sleep(0.05)
    time.sleep(1)


def measure_rate(rate: int, seconds: float, bus: Bus, connection: psycopg.Connection[Any], log: Path) -> str:
    """Make changes at a rate; a line of the table."""
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
    told, billed = runs(log, since)
    empty = [
        run for run in told if not any(run.get(name) for name in ("delivered", "refused", "parked", "unavailable"))
    ]
    milliseconds = sorted((bus.answered[number] - moment) * 1000 for number, moment in committed.items())
    p50, p99 = (milliseconds[int(len(milliseconds) * share)] for share in (0.5, 0.99))
    return (
        f"| {rate} | {len(committed)} | {len(told)} | {len(empty)} | {100 * len(empty) / max(len(told), 1):.0f} % "
        f"| {statistics.mean(milliseconds):.0f} | {p50:.0f} | {p99:.0f} | {milliseconds[-1]:.0f} "
        f"| {1000 * spent / len(committed):.1f} | {1000 * billed / len(committed):.0f} |"
    )


def measure_backlog(bus: Bus, connection: psycopg.Connection[Any], url: str) -> float:
    """Rows a second of one run that finds many events of as many accounts."""
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
    """What functions and changes are configured by."""
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
        "OUTBOX_FUNCTION": _FUNCTION,
    }


def main() -> None:
    """Measure each rate and a backlog, print a table."""
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
        os.environ |= variables(server, bus_url) | {"MG_USERS_LOG_LEVEL": "warn"}  # here, not in the functions
        from background.setup.schema import migrate

        migrate()
        log = Path(folder) / "gateway.log"
        gateway = Gateway(environment=os.environ | {"MG_USERS_LOG_LEVEL": "info"}, log=log)
        with gateway, psycopg.connect(conninfo, autocommit=True) as connection:
            url = f"http://127.0.0.1:{gateway.lambda_port}"
            with delayed_api(url, given.invoke_ms / 1000) as woken_url:
                os.environ["AWS_ENDPOINT_URL_LAMBDA"] = woken_url
                measure_rate(max(RATES), 3, bus, connection, log)  # the environments start, and import what they need
                print(
                    "| changes/s | changes | runs | find nothing | share | ms: mean | p50 | p99 | most | CPU ms a change | relay ms a change |"
                )
                print("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
                for rate in map(int, given.rates.split(",")):
                    print(measure_rate(rate, given.seconds, bus, connection, log), flush=True)
            print(f"\none relay delivers {measure_backlog(bus, connection, url):.0f} rows/s of a backlog of {BACKLOG}")


if __name__ == "__main__":
    main()
