"""AWS as a process: moto's server."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3

from local.parts.launch import Launch, spawn
from local.parts.process import Part
from local.serving.sockets import free_port


class AwsServer(Part):
    """The services of AWS that moto models, on a free port."""

    name = "aws"

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        return boto3.client(
            service, endpoint_url=self.url, region_name="eu-central-1", aws_access_key_id="t", aws_secret_access_key="t"
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        return spawn(Launch([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)], self.log))

    def _probe(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True
