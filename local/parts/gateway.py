"""The gateway (local/gateway): the HTTP API and the Lambda Invoke API for the functions of template.yaml."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.parts.launch import ROOT, Launch, run, spawn
from local.parts.process import Part

INVOKE_SECONDS = 120.0


class Gateway(Part):
    """Runs `python -m local.gateway serve`. After wait_ready(), ports of 0 are real ones.

    `environment` (default: this process's) configures the gateway, and through it the functions.
    """

    name = "gateway"

    def __init__(
        self,
        *,
        template: Path = ROOT / "template.yaml",
        http_port: int = 0,
        lambda_port: int = 0,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(log or ROOT / ".local" / "logs" / "gateway.log")
        self.template = template
        self.http_port = http_port
        self.lambda_port = lambda_port
        self.environment = dict(os.environ if environment is None else environment)

    def _spawn(self) -> subprocess.Popen[bytes]:
        ports = {"MG_USERS_HTTP_PORT": str(self.http_port), "MG_LOCAL_LAMBDA_PORT": str(self.lambda_port)}
        command = [sys.executable, "-m", "local.gateway", "serve", "--template", str(self.template)]
        return spawn(Launch(command, self.log, {**self.environment, **ports}))

    def _probe(self) -> bool:
        """Find the ready line, which the gateway prints when both its servers listen."""
        ready = self._ready_line()
        if ready is None:
            return False
        self.http_port = int(ready["http_port"])
        self.lambda_port = int(ready["lambda_port"])
        return True

    def invoke(self, function: str, event: Path, log: Path) -> None:
        """Invoke a function once, without the server. Raise PartFailed if it fails."""
        command = [sys.executable, "-m", "local.gateway", "invoke", function, "-e", str(event),
                   "--template", str(self.template)]  # fmt: skip
        # SIGINT also ends the function's environment, unlike SIGTERM.
        run(function, Launch(command, log, self.environment, death_signal=signal.SIGINT), INVOKE_SECONDS)
