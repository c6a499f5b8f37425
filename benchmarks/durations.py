"""What Lambda bills of warm calls, on this machine: the milliseconds that benchmarks/cost.py reckons with.

    make durations        or: python benchmarks/durations.py [--calls 200], with the layers in PYTHONPATH

One environment of each function, in Lambda's Runtime Interface Emulator, with real PostgreSQL, Auth and NATS beside it; the
first two calls are not counted. ``Duration`` is the emulator's own report of a call, the mean of all calls the bill.
"""

import argparse
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

from cold_start import Builds, Event, accounts, surroundings
from emulator import Code, Emulator

from local.parts.postgres import temporary_postgres

IDLE = "nothing to do"
# Functions and what their calls are, by cost.py's kinds of a request; the relay with one event, and after it with none.
CALLS = [
    ("view_profile", "read of one account"),
    ("list_users", "list, search"),
    ("update_user", "change of an account"),
    ("issue_token", "login"),
    ("register_user", "registration"),
    ("deliver_outbox", "one event"),
    ("deliver_outbox", IDLE),
]
_WARM_UP = 2
_DURATION = re.compile(r"^REPORT .*?\tDuration: ([\d.]+) ms", re.MULTILINE)


def measured(code: Code, events: Callable[[], Event], calls: int) -> list[float]:
    """Milliseconds of each call that counts."""
    with Emulator(code) as emulator:
        for _ in range(_WARM_UP + calls):
            emulator.succeed(events())
    return [float(milliseconds) for milliseconds in _DURATION.findall(code.log.read_text())[-calls:]]


def main() -> None:
    """Measure each, print a table."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--calls", type=int, default=200)
    calls = arguments.parse_args().calls
    with tempfile.TemporaryDirectory() as temporary, temporary_postgres() as server:
        folder = Path(temporary)
        builds = Builds.make(folder)
        with surroundings(server, folder) as variables, accounts(builds, server, variables) as people:
            plain = variables | {"MG_SPICEDB_HOST": ""}  # as the stack comes
            print(f"{'':40}{'mean ms':>8}{'median':>8}")
            for name, kind in CALLS:
                events = dict if kind == IDLE else lambda name=name: people.event(name)
                told = measured(builds.code(name, plain), events, calls)
                print(f"{name:16}{kind:24}{statistics.mean(told):8.1f}{statistics.median(told):8.1f}")


if __name__ == "__main__":
    main()
