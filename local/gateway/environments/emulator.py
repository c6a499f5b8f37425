"""The Lambda Runtime Interface Emulator: where it lies, how it starts, and how it is asked.

`RieEnvironment` runs functions in it, and the benchmarks measure functions in it (benchmarks/emulator.py).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import h11

from local.serving.sockets import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Set-up installs aws-sam-cli here, below the directory that the gateway is started in. It contains the emulator.
SAM_ENVIRONMENT = Path(".local/tools/sam")
_PROGRAMS = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64"}

_INVOKE_PATH = "/2015-03-31/functions/function/invocations"
_START_SECONDS = 10.0
_START_ATTEMPTS = 5
_POLL_SECONDS = 0.001
_STOP_SECONDS = 2.0


class EmulatorNotStarted(Exception):
    """The emulator does not listen. The text contains the reason."""


def find_emulator(given: str = "") -> Path | None:
    """Return the emulator's program: the file `given`, else the one of aws-sam-cli in SAM_ENVIRONMENT."""
    if given:
        return Path(given).resolve() if Path(given).is_file() else None
    name = _PROGRAMS.get(os.uname().machine, "")
    found = sorted(SAM_ENVIRONMENT.glob(f"lib/python3*/site-packages/samcli/local/rapid/{name}"))
    return found[0].resolve() if name and found else None


class Emulator:
    """One emulator process. It starts the function's runtime at the first invoke.

    Only one invoke may run at a time: two at once crash the emulator.
    """

    def __init__(
        self,
        program: Path,
        runtime: Sequence[str | Path],
        *,
        folder: Path,
        variables: Mapping[str, str],
        launcher: Sequence[str] = (),
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        """Describe the process: `runtime` is the command of the function's own process, which starts in `folder`.

        `variables` is the whole environment of both. `launcher` is a program that becomes the emulator.
        """
        self._program = program
        self._runtime = runtime
        self._folder = folder
        self._variables = dict(variables)
        self._launcher = launcher
        self._stdout = stdout
        self._stderr = stderr
        self._process: asyncio.subprocess.Process | None = None
        self._host = _own_loopback_address()
        self._port = 0

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Its process id, once it was started."""
        return self._process.pid if self._process else None

    @property
    def exit_status(self) -> int | None:
        """Its exit status, negative for a signal, once it has ended."""
        return self._process.returncode if self._process else None

    async def start(self) -> None:
        """Start the process and wait until it listens. Raise EmulatorNotStarted."""
        try:
            for _ in range(_START_ATTEMPTS):
                # Another process may take a free port before the emulator binds it. Then the emulator ends, and other
                # ports are tried.
                await self._spawn(*free_ports(2, self._host))
                if await self._listens():
                    return
                await self.stop()
        except OSError as error:
            raise EmulatorNotStarted(f"{self._program}: {error}") from error
        raise EmulatorNotStarted(f"{self._program} does not start")

    async def invoke(self, payload: bytes, trace_id: str = "") -> tuple[int, bytes]:
        """Return status and body of the answer to one invoke. Raise OSError when the emulator ends before."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            connection = h11.Connection(h11.CLIENT)
            headers = [("Host", self._host), ("Content-Length", str(len(payload))), ("Connection", "close")]
            if trace_id:
                headers.append(("X-Amzn-Trace-Id", trace_id))
            for event in (
                h11.Request(method="POST", target=_INVOKE_PATH, headers=headers),
                h11.Data(data=payload),
                h11.EndOfMessage(),
            ):
                writer.write(connection.send(event) or b"")
            await writer.drain()
            return await _read_response(connection, reader)
        except h11.RemoteProtocolError as error:
            raise ConnectionResetError("the emulator ended the connection before its answer") from error
        finally:
            writer.close()

    async def stop(self) -> None:
        """End the process. The emulator ends its child."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            pass
        finally:
            # A child that ignores the signal is left in the emulator's session.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def _spawn(self, port: int, runtime_port: int) -> None:
        self._port = port
        emulator: list[str | Path] = [
            self._program, "--log-level", "warn",
            "--runtime-interface-emulator-address", f"{self._host}:{port}",
            "--runtime-api-address", f"{self._host}:{runtime_port}",
        ]  # fmt: skip
        self._process = await asyncio.create_subprocess_exec(
            *self._launcher, *emulator, *self._runtime,
            cwd=self._folder, env=self._variables,
            stdin=asyncio.subprocess.DEVNULL, stdout=self._stdout, stderr=self._stderr, start_new_session=True,
        )  # fmt: skip

    async def _listens(self) -> bool:
        """Wait until the emulator accepts connections. Return False if it ends or takes too long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                while self.alive:
                    with suppress(OSError):
                        _, writer = await asyncio.open_connection(self._host, self._port)
                        writer.close()
                        await writer.wait_closed()
                        return True
                    await asyncio.sleep(_POLL_SECONDS)
        return False


async def _read_response(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, bytes]:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return status, bytes(body)


def _own_loopback_address() -> str:
    """Return a loopback address that only this process uses, so that no other process takes a port found free on it."""
    if not sys.platform.startswith("linux"):
        return LOOPBACK
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{pid >> 8 & 255}.{pid & 255 or 255}"
