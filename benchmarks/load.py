"""Load: the running system beside the same API as a FastAPI monolith, in one run, as one Markdown table.

    make load        or: python benchmarks/load.py [--seconds 4] [--clients 1 16] [--users 1000] [--only login ...]
        --project DIR   the system of another checkout with its own .venv, for example from before a change
        --running DIR   a system that `make run` already runs, by its data directory (.local)

By default, the program starts its own system on free ports with new data, even beside a `make run`. Settings of the
service disable the limits that would stop a benchmark. An answer that is no success ends the run.

CPU is that of all processes of a system, PostgreSQL and ended processes included, from the first request until all are
idle. So deliveries count too. The clients do not count. Memory is the proportional set size (PSS), once after the load
and once after idle processes have ended. Run the program on a machine that does nothing else, and quote the ratios.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from load_clients import Latencies, load
from load_monolith import monolith
from load_ours import ADMIN_PASSWORD, our_system, started_system
from load_system import System
from people import ROOT

IDLE_SECONDS = 90.0
_HEADER = "| operation | clients | system | requests/s | p50 ms | p99 ms | CPU ms a request | of it PostgreSQL | first request ms |"


@dataclass(frozen=True)
class Figures:
    """An operation under load: its latencies, and CPU seconds a request, of the whole system and of PostgreSQL."""

    latencies: Latencies
    cpu: float
    database_cpu: float


def measure(system: System, name: str, clients: int, seconds: float) -> Figures:
    """Put a load on one operation, after a short one that does not count."""
    operation = next(each for each in system.operations if each.name == name)
    load(system.port, operation, clients, seconds / 4)
    before = system.tree.settled_cpu()
    latencies = load(system.port, operation, clients, seconds)
    after = system.tree.settled_cpu()
    used = {part: seconds - before.get(part, 0) for part, seconds in after.items()}
    requests = len(latencies.each)
    return Figures(latencies, sum(used.values()) / requests, used["PostgreSQL"] / requests)


def row(name: str, clients: int, system: System, figures: Figures) -> str:
    """Return a line of the table."""
    latencies = figures.latencies
    milliseconds = [latencies.percentile(0.5), latencies.percentile(0.99), figures.cpu, figures.database_cpu]
    first = f"{system.first[name] * 1000:.0f}" if clients == 1 and name in system.first else ""
    cells = [name, str(clients), system.name, f"{latencies.rate:.0f}", *(f"{each * 1000:.1f}" for each in milliseconds)]
    return f"| {' | '.join([*cells, first])} |"


def memory_table(systems: list[System]) -> Iterator[str]:
    """Return the memory of every part in MB, after the load and after an idle time."""
    at_end = [system.tree.memory() for system in systems]
    time.sleep(IDLE_SECONDS)
    yield f"\n| system | part | PSS MB at the end | {IDLE_SECONDS:.0f} s later |\n|---|---|---|---|"
    for system, then in zip(systems, at_end, strict=True):
        now = system.tree.memory()
        for part, size in sorted(then.items(), key=lambda each: -each[1]):
            yield f"| {system.name} | {part} | {size:.0f} | {now.get(part, 0):.0f} |"
        yield f"| {system.name} | **all** | **{sum(then.values()):.0f}** | **{sum(now.values()):.0f}** |"


@contextmanager
def systems(options: argparse.Namespace) -> Iterator[list[System]]:
    """Start and fill the systems to measure."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mg-load-")))
        folder.chmod(0o711)  # PostgreSQL's own user must enter it
        local = options.running or stack.enter_context(started_system(options.project.resolve(), folder))
        found = [stack.enter_context(our_system(local.resolve(), options.users, options.password))]
        if not options.alone:
            found.append(stack.enter_context(monolith(folder, options.users)))
        yield found


def main() -> None:
    """Start the systems, put every load on each in turn, and print the tables."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=4.0, help="seconds of each load")
    arguments.add_argument("--clients", type=int, nargs="+", default=[1, 16])
    arguments.add_argument("--users", type=int, default=1000, help="more accounts, for lists and searches")
    arguments.add_argument("--project", type=Path, default=ROOT, help="the checkout whose system to start")
    arguments.add_argument("--running", type=Path, help="the data directory of a system that runs already")
    arguments.add_argument(
        "--password", default=ADMIN_PASSWORD, help="the administrator's password of a running system"
    )
    arguments.add_argument("--alone", action="store_true", help="without the monolith")
    arguments.add_argument("--only", nargs="+", default=[""], help="parts of the operations' names; default: all")
    options = arguments.parse_args()
    with systems(options) as found:
        print(f"{_HEADER}\n{'|---' * _HEADER.count(' | ')}|---|", flush=True)
        for operation in found[0].operations:
            if not any(part in operation.name for part in options.only):
                continue
            for clients in options.clients:
                for system in found:
                    if any(each.name == operation.name for each in system.operations):
                        figures = measure(system, operation.name, clients, options.seconds)
                        print(row(operation.name, clients, system, figures), flush=True)
        print("\n".join(memory_table(found)))


if __name__ == "__main__":
    main()
