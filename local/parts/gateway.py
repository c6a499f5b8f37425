"""The gateway (local/gateway): the HTTP API and the Lambda Invoke API in front of the functions of template.yaml."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from local.parts.process import ROOT, Launch, Part, run, spawn

INVOKE_SECONDS = 120.0


class Gateway(Part):
    """`python -m local.gateway serve`; ports of 0 are free ones, told after wait_ready().

    `environment` (default: this process's) is what the gateway and, through it, the functions are configured by.
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
        """Take the ready line: the gateway prints it when both its servers listen."""
        ready = self._ready_line()
        if ready is None:
            return False
        self.http_port = int(ready["http_port"])
        self.lambda_port = int(ready["lambda_port"])
        return True

    def invoke(self, function: str, event: Path, log: Path) -> None:
        """Invoke a function once, outside the server (which need not run); raise PartFailed when it fails."""
        command = [sys.executable, "-m", "local.gateway", "invoke", function, "-e", str(event),
                   "--template", str(self.template)]  # fmt: skip
        # SIGINT: it ends the function's environment too, as SIGTERM does not
        run(function, Launch(command, log, self.environment, death_signal=signal.SIGINT), INVOKE_SECONDS)
