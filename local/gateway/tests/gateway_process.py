"""A gateway in a process of its own, as users run it."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
FIXTURES = Path(__file__).parent / "fixtures"
DEADLINE = 30.0


def environment(**settings: str) -> dict[str, str]:
    """Return variables for a gateway: free ports, no schedules, no settings of this process, and `settings`."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_", "POWERTOOLS_"))
    }
    defaults = {
        "MG_USERS_HTTP_HOST": "127.0.0.1",
        "MG_USERS_HTTP_PORT": "0",
        "MG_LOCAL_LAMBDA_PORT": "0",
        "MG_LOCAL_SCHEDULES": "off",
        "MG_LOCAL_WORKERS": "4",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return inherited | defaults | settings


def command(name: str, *arguments: str, template: str = "template.yaml") -> list[str]:
    """Return the command line of the gateway with a template of the fixtures."""
    return [sys.executable, "-m", "local.gateway", name, *arguments, "--template", str(FIXTURES / template)]


def run(
    name: str, *arguments: str, template: str = "template.yaml", stdin: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command of the gateway to its end."""
    return subprocess.run(
        command(name, *arguments, template=template),
        cwd=ROOT,
        env=environment(**settings),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


class GatewayProcess:
    """A started gateway; `lines` is the output of it and its functions so far."""

    def __init__(self, *, template: str = "template.yaml", **settings: str) -> None:
        """Start it and wait until it is ready."""
        self.process = subprocess.Popen(
            command("serve", template=template),
            cwd=ROOT,
            env=environment(**settings),
            stdout=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._new_lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        ready = self.wait_for(lambda line: '"ready"' in line)
        report: dict[str, Any] = json.loads(ready)
        self.http_port: int = report["http_port"]
        self.lambda_port: int = report["lambda_port"]
        self.url = f"{report['scheme']}://127.0.0.1:{self.http_port}"

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """Return the next line that is `wanted`."""
        while True:
            line = self._new_lines.get(timeout=DEADLINE)
            if wanted(line):
                return line

    def client(self, **options: Any) -> httpx.Client:
        """Return an HTTP client for its API, with no limit on connections."""
        limits = httpx.Limits(max_connections=None)
        return httpx.Client(base_url=self.url, timeout=DEADLINE, limits=limits, trust_env=False, **options)

    def lambda_client(self) -> Any:
        """Return a boto3 client for its Lambda Invoke API."""
        return boto3.client(
            "lambda",
            endpoint_url=f"http://127.0.0.1:{self.lambda_port}",
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 - signatures are not checked
            config=Config(retries={"total_max_attempts": 1}, read_timeout=DEADLINE, proxies={}),
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal and wait until it has ended. Return its exit status."""
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        self._reading.join(DEADLINE)
        return status

    def close(self) -> None:
        """Stop it if it still runs."""
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self._new_lines.put(line)
