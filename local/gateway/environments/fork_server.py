"""The process that worker processes are forked from: `python -P fork_server.py <socket fd>`.

It imports the modules that all functions share once, so that a worker starts at once and all workers share this memory.
It never runs a function's own code and starts no thread, because a fork copies only the thread that calls it (fork(2)).

The socket (SOCK_SEQPACKET) carries packets of JSON. The first one describes the shared modules: `{"path", "handlers"}`
are the folders of the layers that all functions have, and the files of their handlers. Then the gateway sends orders,
each with the number of a worker:

- `{"start", "cwd", "path", "variables"}`, with the descriptor of the worker's own socket. The fork server reports
  `{"worker", "pid"}`, or `{"worker", "error"}` when the system has no more processes, or `{"worker", "stale"}` when the
  file of a shared module has changed since its import.
- `{"end"}`. The fork server reports `{"worker", "status"}` as soon as the process has ended, also without this order.

A worker that ends by itself stays a zombie until the order `end`, so that no other process gets its process group. When
the gateway is gone, the fork server ends, and Linux ends its workers.

Like worker.py, this file runs by its path, outside the `local` package.
"""

from __future__ import annotations

import ast
import ctypes
import gc
import importlib
import importlib.util
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

_PACKET = 1 << 20
_PR_SET_PDEATHSIG = 1
_NAME_LENGTH = 15  # of a process: TASK_COMM_LEN without its NUL


class ForkServer:
    """Forks workers when the gateway orders it. `serve` returns only in a worker."""

    def __init__(self, control: socket.socket) -> None:
        """Read orders from `control`."""
        self._control = control
        self._base_path = list(sys.path)
        self._pid = os.getpid()
        self._libc = ctypes.CDLL(None)
        self._sources: dict[str, int] = {}
        # The pids of workers whose end was not ordered, and the numbers of those whose end was reported.
        self._workers: dict[int, int] = {}
        self._reported: set[int] = set()

    def share(self, path: list[str], handlers: list[str]) -> None:
        """Import the modules of the layers in `path` that handlers import, and the imports in functions of those."""
        folders = tuple(path)
        sys.path[:] = [*path, *self._base_path]
        for name in _imported_names(handlers):
            _import(name, folders)
        while new := [file for file in _files_of_modules(folders) if file not in self._sources]:
            self._sources.update((file, _changed_at(file)) for file in new)
            for name in _imported_names(new):
                _import(name)
        # The collector writes to every object that it examines, and a worker would then copy the memory of all these.
        gc.collect()
        gc.freeze()

    def serve(self) -> tuple[socket.socket, dict[str, Any]]:
        """Obey orders until the gateway is gone. In a new worker, return its socket and its order."""
        woken, wake = socket.socketpair()
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector, woken, wake, self._control:
            selector.register(woken, selectors.EVENT_READ)
            selector.register(self._control, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is woken:
                        woken.recv(4096)
                        self._report_ended()
                    elif (started := self._obey()) is not None:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        return started

    def _obey(self) -> tuple[socket.socket, dict[str, Any]] | None:
        """Obey the next order. Return socket and order in a new worker, None in the fork server."""
        packet, descriptors, _, _ = socket.recv_fds(self._control, _PACKET, 1)
        if not packet:
            sys.exit(0)
        order = json.loads(packet)
        if "end" in order:
            self._end(order["end"])
            return None
        connection = socket.socket(fileno=descriptors[0])
        if any(_changed_at(file) != then for file, then in self._sources.items()):
            connection.close()
            self._report({"worker": order["start"], "stale": True})
            return None
        try:
            pid = os.fork()
        except OSError as error:
            connection.close()
            self._report({"worker": order["start"], "error": f"fork: {error.strerror}"})
            return None
        if pid == 0:
            return connection, order
        connection.close()
        self._workers[order["start"]] = pid
        self._report({"worker": order["start"], "pid": pid})
        return None

    def _end(self, number: int) -> None:
        """Kill a worker with every process that its handler started, and report its end."""
        pid = self._workers.pop(number)
        for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if number not in self._reported:
            self._report({"worker": number, "status": os.waitstatus_to_exitcode(status)})
        self._reported.discard(number)

    def _report_ended(self) -> None:
        for number, pid in self._workers.items():
            if number in self._reported:
                continue
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                self._reported.add(number)
                by_itself = ended.si_code == os.CLD_EXITED
                self._report({"worker": number, "status": ended.si_status if by_itself else -ended.si_status})

    def _report(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the gateway is gone: the next read returns nothing
            self._control.send(json.dumps(message).encode())

    def become(self, order: dict[str, Any]) -> None:
        """Turn this process, a new worker, into one of the function that the order names."""
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._pid:  # the fork server ended before the request
            os._exit(1)
        os.setsid()
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["variables"])
        sys.path[:] = [*order["path"], *self._base_path]
        with suppress(OSError):
            Path("/proc/self/comm").write_text(order["name"][:_NAME_LENGTH])


def _imported_names(files: Iterable[str]) -> Iterator[str]:
    """Yield the names that modules import, also in functions. Skip other blocks (`if TYPE_CHECKING`, `try`).

    `from a import b` yields both `a` and `a.b`, which may be a module.
    """
    seen: set[str] = set()
    for file in files:
        try:
            module = ast.parse(Path(file).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue  # the worker reports it
        functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
        for statement in [*module.body, *(inner for function in functions for inner in ast.walk(function))]:
            names: list[str] = []
            if isinstance(statement, ast.Import):
                names = [alias.name for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
                names = [statement.module, *(f"{statement.module}.{alias.name}" for alias in statement.names)]
            yield from (name for name in names if name not in seen)
            seen.update(names)


def _import(name: str, folders: tuple[str, ...] = ("",)) -> None:
    """Import a module if it lies in one of `folders`. Ignore one that cannot be imported."""
    with suppress(Exception):  # a module may raise anything, and the worker that needs it reports it
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and spec.origin.startswith(folders):
            importlib.import_module(name)


def _files_of_modules(folders: tuple[str, ...]) -> list[str]:
    """Return the source files of all modules from `folders`."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [file for file in files if file and folders and file.startswith(folders)]


def _changed_at(file: str) -> int:
    """Return when a file was written last, in nanoseconds, or 0 when it is gone."""
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - called for every shared module at every start
    except OSError:
        return 0


def _worker_module() -> ModuleType:
    """Return worker.py as a module, loaded by its path, so that no function finds it in sys.modules."""
    spec = importlib.util.spec_from_file_location("worker", Path(__file__).with_name("worker.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Serve the gateway. Each worker returns here from `serve` and continues with its own function."""
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.disable()
    worker = _worker_module()
    packet = control.recv(_PACKET)
    if not packet:
        return
    server = ForkServer(control)
    server.share(**json.loads(packet))
    connection, order = server.serve()
    server.become(order)
    gc.enable()
    del server, packet, control
    worker.run(connection)


if __name__ == "__main__":
    main()
