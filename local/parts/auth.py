"""The local Auth service (local/auth/README.md)."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from local.parts.launch import Launch, spawn
from local.parts.process import Part
from local.serving.sockets import LOOPBACK


class AuthPorts(NamedTuple):
    """The ports of Auth on 127.0.0.1. 0 is a free port."""

    grpc: int = 0
    http: int = 0
    spicedb: int = 0


FREE_PORTS = AuthPorts()


class AuthServer(Part):
    """Runs `python -m local.auth serve` on the database `db_url`. After wait_ready(), `ports` are the real ones.

    `environment` (default: this process's) may contain more of Auth's variables, for example MG_AUTH_KEYS_ALGORITHM.
    `database_of` names the variables with which a person selects the database, for Auth's error messages.
    """

    name = "auth"

    def __init__(
        self,
        db_url: str,
        keys_dir: Path,
        *,
        ports: AuthPorts = FREE_PORTS,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        database_of: str = "MG_AUTH_DB_URL",
    ) -> None:
        super().__init__(log or keys_dir.with_suffix(".log"))
        self.db_url = db_url
        self.keys_dir = keys_dir
        self.ports = ports
        self._database_of = database_of
        self._environment = os.environ if environment is None else environment

    @property
    def grpc_url(self) -> str:
        """The address for MG_AUTH_GRPC_URL."""
        return f"{LOOPBACK}:{self.ports.grpc}"

    @property
    def jwks_url(self) -> str:
        """The address for MG_AUTH_JWKS_URL."""
        return f"http://{LOOPBACK}:{self.ports.http}/keys/.well-known/jwks.json"

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.keys_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = {
            "MG_AUTH_DB_URL": self.db_url,
            "AUTH_DB_SET_BY": self._database_of,
            "MG_AUTH_KEYS_DIR": str(self.keys_dir),
            "MG_AUTH_GRPC_HOST": LOOPBACK,
            "MG_AUTH_GRPC_PORT": str(self.ports.grpc),
            "MG_AUTH_HTTP_HOST": LOOPBACK,
            "MG_AUTH_HTTP_PORT": str(self.ports.http),
            "MG_SPICEDB_PORT": str(self.ports.spicedb),
        }
        command = [sys.executable, "-m", "local.auth", "serve"]
        return spawn(Launch(command, self.log, {**self._environment, **own}))

    def _probe(self) -> bool:
        """Find the ready line, which Auth prints when its ports are open and its database has answered."""
        ready = self._ready_line()
        if ready is None:
            return False
        self.ports = AuthPorts(ready["grpc_port"], ready["http_port"], ready["spicedb_port"])
        return True
