"""kill -9 of one part of `make run` after the other under load: the API recovers, and no answered request is lost."""

import concurrent.futures
import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

from tests.deliveries import events
from tests.local.processes import eventually, processes_of
from tests.local.test_supervisor import Run, running
from tests.service import PASSWORD, registration

pytestmark = pytest.mark.long

KILLS = 3
BOUND = 10.0  # seconds until the API answers again
PACE = 0.1  # seconds between a client's registrations, because the mail page keeps 2000 mails
# A text in the command line of each part's main process.
PARTS = {
    "nats": "nats-server",
    "auth": "local.auth serve",
    "mail": "server.js",
    "postgres": "bin/postgres -D",
    "gateway": "local.gateway serve",
}
SERVER_PROCESS = "postgres: magistrala_functions"


@dataclass
class Load:
    """Clients that register and log in without end, and the accounts that the API confirmed with 201."""

    url: str
    ended: threading.Event = field(default_factory=threading.Event)
    registered: dict[str, str] = field(default_factory=dict)  # ids by addresses
    answered: list[tuple[float, float]] = field(default_factory=list)  # when a client began, and had both answers

    def run(self) -> None:
        """Register an account and log in, and go on with the next account after any failure."""
        while not self.ended.wait(PACE):
            with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False, timeout=15) as client:
                began = time.monotonic()
                body = registration()
                answer = client.post(f"{self.url}/users", json=body)
                if answer.status_code == 201:
                    self.registered[body["email"]] = answer.json()["id"]
                if answer.status_code == 201 and self.log_in(client, body["email"]):
                    self.answered.append((began, time.monotonic()))

    def log_in(self, client: httpx.Client, address: str) -> bool:
        login = {"identity": address, "secret": PASSWORD}
        return client.post(f"{self.url}/users/tokens/issue", json=login).status_code == 201

    def seconds_until_answered(self, moment: float) -> float:
        """Wait for the answers to a client that began after ``moment``. Return the seconds from then on."""
        eventually(lambda: any(began > moment for began, _ in self.answered), 60)
        return min(end for began, end in self.answered if began > moment) - moment


@contextlib.contextmanager
def under_load(url: str) -> Iterator[Load]:
    load = Load(url)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        clients = [pool.submit(load.run) for _ in range(2)]
        try:
            load.seconds_until_answered(0.0)
            yield load
        finally:
            load.ended.set()
    assert [client.result() for client in clients] == [None, None]


def processes(place: Path, shown: str) -> list[int]:
    return [pid for pid, command in processes_of(place).items() if shown in command]


def server_processes(place: Path) -> list[int]:
    """Return PostgreSQL's processes for the functions. They show neither the folder nor their first environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            works_here = (process / "cwd").readlink().is_relative_to(place)
            if works_here and (process / "cmdline").read_bytes().startswith(SERVER_PROCESS.encode()):
                found.append(int(process.name))
    return found


def kill(found: list[int]) -> float:
    """Kill the first of the processes. Return the moment."""
    os.kill(found[0], signal.SIGKILL)
    return time.monotonic()


def kill_parts(run: Run, place: Path, load: Load) -> dict[str, list[float]]:
    """Kill each part, and a process in which PostgreSQL serves a function.

    Return the seconds until the API answered.
    """
    seconds: dict[str, list[float]] = {}
    for part, shown in PARTS.items():
        for _ in range(KILLS):
            found = processes(place, shown)
            workers = psutil.Process(found[0]).children(recursive=True) if part == "gateway" else []
            moment = kill(found)
            seconds.setdefault(part, []).append(load.seconds_until_answered(moment))
            run.read_until(f"{part} was killed by SIGKILL; it starts again")
            run.read_until(f"{part} serves again")
            assert bool(workers) == (part == "gateway")
            assert psutil.wait_procs(workers, timeout=30)[1] == [], "workers outlive their gateway"
    for _ in range(KILLS):
        eventually(lambda: bool(server_processes(place)))
        moment = kill(server_processes(place))
        seconds.setdefault("postgres, a process of it", []).append(load.seconds_until_answered(moment))
    return seconds


def lost(run: Run, place: Path, load: Load) -> dict[str, set[str]]:
    """Return accounts that the API confirmed with 201 but that are missing as accounts, events or mails."""
    variables = dict(line.split("=", 1) for line in (place / "environment").read_text().splitlines())
    nats, mail = (variables[name].strip("'") for name in ("MG_USERS_ES_URL", "AWS_ENDPOINT_URL_SESV2"))

    def without_event() -> set[str]:
        created = {event.payload["id"] for event in events(nats) if event.payload["operation"] == "user.create"}
        return {address for address, user_id in load.registered.items() if user_id not in created}

    def without_mail() -> set[str]:
        with httpx.Client(trust_env=False) as client:
            sent = client.get(f"{mail}/store").json()["emails"]
        return set(load.registered) - {address for each in sent for address in each["destination"]["to"]}

    with contextlib.suppress(AssertionError):
        eventually(lambda: not without_event() and not without_mail(), 90)  # the relay's schedule is a minute
    with httpx.Client(trust_env=False, timeout=30) as client:
        accounts = {address for address in load.registered if not load.log_in(client, address)}
    return {"accounts": accounts, "events": without_event(), "mails": without_mail()}


def test_nothing_that_was_answered_is_lost(place: Path) -> None:
    with running(place, MG_USERS_REGISTRATIONS_PER_HOUR="0") as run:
        run.read_until("Ctrl-C stops everything")
        with under_load(run.api) as load:
            seconds = kill_parts(run, place, load)
        gone = lost(run, place, load)
    print(
        f"\n{len(load.registered)} accounts; lost: " + ", ".join(f"{len(what)} {name}" for name, what in gone.items())
    )
    print("\n| killed | times | seconds until the API answered again |\n|---|---|---|")
    for part, each in seconds.items():
        print(f"| {part} | {len(each)} | {', '.join(f'{one:.1f}' for one in each)} |")
    found = re.findall(r"(\w+) serves again, ([\d.]+) s", run.output)
    print("\nSeconds until the part served again: " + ", ".join(f"{part} {after}" for part, after in found))
    assert gone == {"accounts": set(), "events": set(), "mails": set()}
    assert max(max(each) for each in seconds.values()) < BOUND, seconds
    assert run.process.returncode == 0
    eventually(lambda: processes_of(place) == {})


def test_a_part_that_cannot_be_kept_ends_the_run(place: Path) -> None:
    """With a broken database more attempts are useless, and a service that is down must be noticed."""
    with running(place) as run:
        run.read_until("Ctrl-C stops everything")
        (found,) = place.glob("postgres/data/global/pg_control")
        found.write_bytes(b"")
        kill(processes(place, PARTS["postgres"]))
        assert run.wait() == 1
    assert re.search(r"FAILED: postgres cannot be kept alive: it ended 8 times within \d+ s", run.output)
    assert f"The whole log: {place / 'logs' / 'postgres.log'}" in run.output
    assert run.output.endswith("Everything is stopped.\n")
    assert "Traceback" not in run.output
    assert processes_of(place) == {}


def test_asked_to_stop_while_a_part_is_away_it_stops(place: Path) -> None:
    with running(place) as run:
        run.read_until("Ctrl-C stops everything")
        for part in ("nats", "postgres", "gateway"):
            kill(processes(place, PARTS[part]))
        run.read_until("it starts again")
        run.process.send_signal(signal.SIGINT)
        assert run.wait() == 0
    assert run.output.endswith("Everything is stopped.\n")
    assert "Traceback" not in run.output
    eventually(lambda: processes_of(place) == {} and server_processes(place) == [])
