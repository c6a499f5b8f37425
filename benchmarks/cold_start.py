"""Cold starts: every function beside a bare handler and the same API as a monolith, in one run.

    make cold-start        or: python benchmarks/cold_start.py [--runs 7] [operation ...], with the layers in PYTHONPATH

A start is a new process of Lambda's Runtime Interface Emulator with awslambdaric. Its time is from the process to the
first answer. PostgreSQL, Auth, SpiceDB's calls and NATS are real, so the answer is real too: a registration, a login, a
read, a change. `sam build`'s steps make the code, for this machine's architecture, and for Python 3.13 if this machine
has it, else for the running Python. They also make the monolith's packages, bytecode included. Nothing else runs beside
the process that starts. Each round starts all of them in turn, and figures are medians.

The table compares each function with the monolith's request of its kind. The targets are half of its time, and a third
for reads. Functions that call SpiceDB, if it is configured, have a second line with it.
"""

import argparse
import itertools
import statistics
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

from builds import ROOT, Builds
from emulator import Code, Emulator
from monolith_requests import Monolith
from people import Event, accounts
from surroundings import surroundings

from local.parts.postgres import PostgresServer, temporary_postgres

READS = {
    "view_profile",
    "view_user",
    "list_users",
    "search_users",
    "list_refresh_tokens",
    "health",
    "openapi",
    "docs",
    "password_policy",
}
# The monolith's request for the comparison. For all other functions, it is a change of an account.
KINDS = {
    "register_user": "register",
    "issue_token": "login",
    "refresh_token": "login",
    "list_users": "list",
    "search_users": "search",
    "health": "health",
    "openapi": "health",
    "password_policy": "health",
    "docs": "health",
    **dict.fromkeys(("view_profile", "view_user", "list_refresh_tokens"), "profile"),
}
_SPICEDB = " + SpiceDB"  # after the function's name in the table
USES_SPICEDB = {
    "register_user",
    "list_users",
    "health",
    "update_user_role",
    "enable_user",
    "disable_user",
    "delete_user",
}


@dataclass
class Figures:
    """The starts of one function: seconds until the answer, seconds of the import, and MiB."""

    start: list[float] = field(default_factory=list)
    importing: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Subject:
    """A function to measure. ``event`` makes a new request for each start."""

    code: Code
    event: Callable[[], Event]

    def measure(self, figures: Figures) -> None:
        """Start it once. Raise RuntimeError if its answer is no success."""
        event = self.event()
        with Emulator(self.code) as emulator:
            emulator.succeed(event)
            figures.start.append(perf_counter() - emulator.started)
            figures.memory.append(emulator.peak_memory())
        figures.importing.append(self.code.import_seconds())


def _print(figures: Mapping[str, Figures], names: list[str]) -> None:
    def row(name: str, kind: str = "") -> None:
        start, importing, memory = (statistics.median(values) for values in vars(figures[name]).values())
        line = f"{name:28}{start * 1000:9.0f}{importing * 1000:9.0f}{memory:9.0f}"
        if kind:
            ratio = start / statistics.median(figures[f"monolith: {kind}"].start)
            target = 1 / 3 if name.removesuffix(_SPICEDB) in READS else 1 / 2
            line += f"{ratio:9.2f}  {'' if ratio <= target else f'misses {target:.2f}'}"
        print(line.rstrip())

    print(f"{'median':28}{'start ms':>9}{'import':>9}{'MiB':>9}{'ratio':>9}")
    for name in [name for name in figures if name not in names]:
        row(name)
    for name in names:
        row(name, KINDS.get(name.removesuffix(_SPICEDB), "change"))


def main() -> None:
    """Build, start all in turn, and print a table."""
    operations = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("operations", nargs="*", metavar="operation", choices=[*operations, []])
    options = arguments.parse_args()
    names = options.operations or operations
    with tempfile.TemporaryDirectory() as temporary, temporary_postgres() as server:
        folder = Path(temporary)
        builds = Builds.make(folder)
        with surroundings(server, folder) as variables:
            _run(builds, server, variables, names, options.runs)


def _run(builds: Builds, server: PostgresServer, variables: dict[str, str], names: list[str], runs: int) -> None:
    conninfo = server.create_database("monolith")
    url = f"postgresql+asyncpg://postgres@/monolith?host={server.host}&port={server.port}"
    code = builds.code("monolith", {"DATABASE_URL": url, "SECRET": "0123456789abcdef0123456789abcdef"})
    subprocess.run(
        [builds.python, "-S", "-s", "-c", "import asyncio, app; asyncio.run(app.create_tables())"],
        env=code.environment(), cwd=code.folder, check=True,
    )  # fmt: skip
    monolith = Monolith(code, conninfo)
    with accounts(builds, server, variables) as people:
        kinds = ["register", "login", "profile", "list", "search", "change", "health"]
        subjects = {"bare handler": Subject(builds.code("bare", {}), dict)}
        subjects |= {f"monolith: {kind}": Subject(code, lambda kind=kind: monolith.event(kind)) for kind in kinds}  # type: ignore[misc]
        plain = variables | {"MG_SPICEDB_HOST": ""}
        for name in names:
            subjects[name] = Subject(builds.code(name, plain), lambda name=name: people.event(name))  # type: ignore[misc]
            if name in USES_SPICEDB:
                subjects[name + _SPICEDB] = replace(subjects[name], code=builds.code(name, variables))
        figures: defaultdict[str, Figures] = defaultdict(Figures)
        print(f"{builds.python}; {runs} starts of each, in turn")
        for _, (name, subject) in itertools.product(range(runs), subjects.items()):
            subject.measure(figures[name])
        _print(figures, [name for name in subjects if name.removesuffix(_SPICEDB) in names])
    monolith.close()


if __name__ == "__main__":
    main()
