"""Run ``python -m users`` as an operator does, on the test's database and outside the project's directory."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.service import Service

LAYER = Path(__file__).parents[2] / "layers" / "common" / "python"  # local/install.py adds it to the path of .venv


@dataclass(frozen=True)
class Run:
    """The result of a command: its exit code and its output. An operator never sees a traceback."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        assert "Traceback" not in self.err, self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def failure(self) -> tuple[int, str, str]:
        """Return exit code, stable code and message of a failure in JSON."""
        document = json.loads([line for line in self.err.splitlines() if line.startswith("{")][-1])
        assert set(document) == {"error", "message", "exit_code"}
        assert document["exit_code"] == self.code
        return self.code, document["error"], document["message"]


@dataclass(frozen=True)
class CommandLine:
    """The commands, configured by the service's variables."""

    variables: dict[str, str]
    folder: Path

    @classmethod
    def of(cls, service: Service, folder: Path, **variables: str) -> "CommandLine":
        return cls(service.environment | variables, folder)

    @property
    def environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
        return inherited | self.variables | {"PYTHONPATH": str(LAYER)}

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start a command in a new process. The caller waits for it."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        command = [sys.executable, "-m", "users", *arguments]
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **pipes, **options)

    def run_alone(self, *arguments: str, **options: Any) -> Run:
        """Run a command to its end in a new process."""
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=120)
        return Run(process.returncode, out, err)

    def run(self, *arguments: str, input: str = "") -> Run:  # noqa: A002 -- as subprocess.run calls it
        """Run a command in a fork of a process that has imported it, which is quicker."""
        request = {
            "arguments": arguments,
            "environment": self.environment,
            "folder": str(self.folder),
            "input": input,
        }
        process = _forking()
        assert process.stdin
        assert process.stdout
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return Run(**json.loads(process.stdout.readline()))


def stop_forking() -> None:
    """End the process that ``run`` has started."""
    if _forking.cache_info().currsize:
        _forking().communicate()
        _forking.cache_clear()


@cache
def _forking() -> "subprocess.Popen[str]":
    """Return the process that is forked, one for all tests of this process."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    command = [sys.executable, str(Path(__file__).with_name("forking.py"))]
    return subprocess.Popen(
        command, env=environment | {"PYTHONPATH": str(LAYER)}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
