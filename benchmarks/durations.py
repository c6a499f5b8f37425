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

# The functions by cost.py's kinds of a request; the relay with one event, and with nothing.
CALLS = {
    "view_profile": "read of one account",
    "list_users": "list, search",
    "update_user": "change of an account",
    "issue_token": "login",
    "register_user": "registration",
    "deliver_outbox": "one event",
}
_WARM_UP = 2
_DURATION = re.compile(r"^REPORT .*?\tDuration: ([\d.]+) ms", re.MULTILINE)


def measured(code: Code, events: Callable[[], Event], calls: int) -> list[float]:
    """Milliseconds of each call that counts."""
    with Emulator(code) as emulator:
        for _ in range(_WARM_UP + calls):
            answer = emulator.invoke(events())
            if answer.get("statusCode", 200) >= 300 or "errorType" in answer:
                raise RuntimeError(f"{code.folder.name} answers {answer}")
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
            for name, kind in CALLS.items():
                told = measured(builds.code(name, plain), lambda name=name: people.event(name), calls)  # type: ignore[misc]
                print(f"{name:16}{kind:24}{statistics.mean(told):8.1f}{statistics.median(told):8.1f}")
            told = measured(builds.code("deliver_outbox", plain), dict, calls)
            print(
                f"{'deliver_outbox':16}{'nothing to do':24}{statistics.mean(told):8.1f}{statistics.median(told):8.1f}"
            )


if __name__ == "__main__":
    main()
