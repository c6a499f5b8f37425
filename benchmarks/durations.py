"""Billed milliseconds of warm calls, measured on this machine: the input of benchmarks/cost.py.

    make durations        or: python benchmarks/durations.py [--calls 200], with the layers in PYTHONPATH

Each function has one environment in Lambda's Runtime Interface Emulator. PostgreSQL and Auth are real. Events go to
moto's EventBridge, by the client that the function uses on AWS. The first two calls do not count. ``Duration`` is the
emulator's own report of a call. The mean of all calls is the bill.
"""

import argparse
import re
import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from builds import Builds
from emulator import Code, Emulator
from people import Event, accounts
from surroundings import surroundings

from local.parts.postgres import temporary_postgres
from tests.event_bridge_server import EventBridgeServer


@dataclass(frozen=True)
class Calls:
    """Calls to measure: a function, their kind in cost.py, and whether the relay expects another run.

    A change wakes a run if none is expected. A woken run waits for more changes.
    """

    function: str
    kind: str
    run_is_expected: bool = False
    has_event: bool = True


CALLS = [
    Calls("view_profile", "read of one account"),
    Calls("list_users", "list, search"),
    Calls("update_user", "change of an account"),
    Calls("issue_token", "login"),
    Calls("register_user", "registration"),
    Calls("deliver_outbox", "one event, nobody waits"),
    Calls("deliver_outbox", "one event, and it waits", run_is_expected=True),
    Calls("deliver_outbox", "nothing to do", has_event=False),
]
_SET = "UPDATE users_relay SET run_id = NULL, looks_until = now() + %s * interval '1 second'"
_WARM_UP = 2
_DURATION = re.compile(r"^REPORT .*?\tDuration: ([\d.]+) ms", re.MULTILINE)


def measured(code: Code, events: Callable[[], Event], calls: int) -> list[float]:
    """Return the milliseconds of each call after the warm-up."""
    with Emulator(code) as emulator:
        for _ in range(_WARM_UP + calls):
            emulator.succeed(events())
    return [float(milliseconds) for milliseconds in _DURATION.findall(code.log.read_text())[-calls:]]


def main() -> None:
    """Measure each kind, and print a table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--calls", type=int, default=200)
    calls = arguments.parse_args().calls
    with tempfile.TemporaryDirectory() as temporary, temporary_postgres() as server:
        folder = Path(temporary)
        builds = Builds.make(folder)
        with (
            surroundings(server, folder) as variables,
            accounts(builds, server, variables) as people,
            EventBridgeServer(folder / "eventbridge.log") as bridge,
            psycopg.connect(
                f"host={server.host} port={server.port} user=postgres dbname=users", autocommit=True
            ) as rows,
        ):
            bridge.client("events").create_event_bus(Name="users")
            plain = variables | {  # the stack's defaults
                "MG_SPICEDB_HOST": "",
                "MG_USERS_ES_URL": "eventbridge://users",
                "AWS_ENDPOINT_URL_EVENTBRIDGE": bridge.url,
            }
            print(f"{'':40}{'mean ms':>8}{'median':>8}")
            for each in CALLS:

                def event(each: Calls = each) -> Event:
                    made = people.event(each.function) if each.has_event else {}
                    rows.execute(_SET, (60 if each.run_is_expected else 0,))
                    return made

                told = measured(builds.code(each.function, plain), event, calls)
                print(f"{each.function:16}{each.kind:24}{statistics.mean(told):8.1f}{statistics.median(told):8.1f}")


if __name__ == "__main__":
    main()
