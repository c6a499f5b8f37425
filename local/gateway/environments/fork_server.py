"""The process that worker processes are forked from: `python -P fork_server.py <socket fd>`.

It imports once what the functions share, so that a worker is there at once, and shares this memory with all others. It
never runs a function's own code and starts no thread: a fork copies only the thread that calls it (fork(2)).

Packets of JSON on the socket (SOCK_SEQPACKET). The first one says what is shared: `{"path", "handlers"}`, the layers'
folders that all functions have and the files of their handlers. Then it is told `{"start", "cwd", "path", "variables"}`
with the descriptor of the worker's own socket, or `{"end"}`, both with a worker's number. It tells `{"worker", "pid"}`,
`{"worker", "error"}` when there can be no further process, or `{"worker", "stale"}` when a shared module's file has
changed since it was imported; and `{"worker", "status"}` once the process has ended. A worker that has ended stays a
zombie until it is ended: its number and its process group are nobody else's until then. When the gateway is gone, the
fork server ends, and Linux ends its workers.

It runs as a file, outside the `local` package, as worker.py does.
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
    """Forks workers at the gateway's word; `serve` returns in a worker only."""

    def __init__(self, control: socket.socket) -> None:
        """Take orders from `control`."""
        self._control = control
        self._base_path = list(sys.path)
        self._pid = os.getpid()
        self._libc = ctypes.CDLL(None)
        self._sources: dict[str, int] = {}
        # The workers that have not been ended, and whether their end was told.
        self._workers: dict[int, int] = {}
        self._told: set[int] = set()

    def share(self, path: list[str], handlers: list[str]) -> None:
        """Import what the handlers import of the layers in `path`, and what those modules import late, in functions."""
        folders = tuple(path)
        sys.path[:] = [*path, *self._base_path]
        for name in _imported_names(handlers):
            _import(name, folders)
        while new := [file for file in _files_of_modules(folders) if file not in self._sources]:
            self._sources.update((file, _changed_at(file)) for file in new)
            for name in _imported_names(new):
                _import(name)
        # What is here now is not looked through for garbage again: that would write to, and so copy, all of it.
        gc.collect()
        gc.freeze()

    def serve(self) -> tuple[socket.socket, dict[str, Any]]:
        """Fork at every order; the worker's socket and order, in the worker. Ends the process with the gateway."""
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
                        self._tell_ended()
                    elif (started := self._obey()) is not None:
                        signal.set_wakeup_fd(-1)
                        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                        return started

    def _obey(self) -> tuple[socket.socket, dict[str, Any]] | None:
        """Do what the next order says; not None in a new worker."""
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
            self._tell({"worker": order["start"], "stale": True})
            return None
        try:
            pid = os.fork()
        except OSError as error:
            connection.close()
            self._tell({"worker": order["start"], "error": f"fork: {error.strerror}"})
            return None
        if pid == 0:
            return connection, order
        connection.close()
        self._workers[order["start"]] = pid
        self._tell({"worker": order["start"], "pid": pid})
        return None

    def _end(self, number: int) -> None:
        """Kill a worker with whatever its handler started, and tell how it ended."""
        pid = self._workers.pop(number)
        for kill in (os.killpg, os.kill):  # it may not have a group of its own yet
            with suppress(ProcessLookupError):
                kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if number not in self._told:
            self._tell({"worker": number, "status": os.waitstatus_to_exitcode(status)})
        self._told.discard(number)

    def _tell_ended(self) -> None:
        for number, pid in self._workers.items():
            if number in self._told:
                continue
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None:
                self._told.add(number)
                by_itself = ended.si_code == os.CLD_EXITED
                self._tell({"worker": number, "status": ended.si_status if by_itself else -ended.si_status})

    def _tell(self, message: dict[str, Any]) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):  # the next order will be the end
            self._control.send(json.dumps(message).encode())

    def become(self, order: dict[str, Any]) -> None:
        """Make this process, a new worker, one of the function that the order names."""
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._pid:  # it ended before the request
            os._exit(1)
        os.setsid()
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["variables"])
        sys.path[:] = [*order["path"], *self._base_path]
        with suppress(OSError):
            Path("/proc/self/comm").write_text(order["name"][:_NAME_LENGTH])


def _imported_names(files: Iterable[str]) -> Iterator[str]:
    """The names that modules import, in functions too: of `from a import b` both `a` and `a.b`, which may be a module.

    Other blocks (`if TYPE_CHECKING`, `try`) are left out.
    """
    seen: set[str] = set()
    for file in files:
        try:
            module = ast.parse(Path(file).read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue  # the worker will say so
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
    """Import a module if it lies in one of `folders`; one that cannot be imported is left to the workers."""
    with suppress(Exception):  # whatever a module raises when it is imported, the worker that needs it will tell
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None and spec.origin.startswith(folders):
            importlib.import_module(name)


def _files_of_modules(folders: tuple[str, ...]) -> list[str]:
    """The source files of all modules from `folders`."""
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return [file for file in files if file and folders and file.startswith(folders)]


def _changed_at(file: str) -> int:
    """When a file was written last, in nanoseconds; 0 when it is gone."""
    try:
        return os.stat(file).st_mtime_ns  # noqa: PTH116 - called for every shared module at every start
    except OSError:
        return 0


def _worker_module() -> ModuleType:
    """worker.py, by its path: it is in nobody's sys.modules."""
    spec = importlib.util.spec_from_file_location("worker", Path(__file__).with_name("worker.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Serve the gateway; each worker continues here with its own function."""
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
