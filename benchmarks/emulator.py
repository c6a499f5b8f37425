"""A function in Lambda's Runtime Interface Emulator with awslambdaric. Each measurement starts a new one."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

from local.gateway.environments import emulator

_SECONDS = 60
_IMPORT = "import time; t = time.perf_counter(); import app; print(time.perf_counter() - t)"


@dataclass(frozen=True)
class Code:
    """A function: its interpreter, its folder, the packages that Lambda unpacks to /opt, and its variables."""

    python: Path
    folder: Path
    packages: Sequence[Path]
    variables: Mapping[str, str]
    suffix: str = ".log"

    @property
    def log(self) -> Path:
        """The file for the function's output."""
        return self.folder.with_suffix(self.suffix)

    def environment(self) -> dict[str, str]:
        """Return the variables that Lambda sets. Lambda's disk is read-only, so Python writes no bytecode."""
        path = [self.folder, *(packages / "python" for packages in self.packages)]
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LAMBDA_TASK_ROOT": str(self.folder),
            "AWS_LAMBDA_FUNCTION_NAME": self.folder.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            **self.variables,
        }

    def import_seconds(self) -> float:
        """Return the seconds in which a new process imports the function."""
        done = subprocess.run(
            [self.python, "-S", "-s", "-c", _IMPORT],
            env=self.environment(), cwd=self.folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"{self.folder.name} cannot be imported:\n{done.stderr}")
        return float(done.stdout.splitlines()[-1])


class Emulator:
    """Runs one execution environment of a function. ``started`` is the time before its process starts."""

    def __init__(self, code: Code) -> None:
        program = emulator.find_emulator()
        if program is None:
            raise RuntimeError("there is no emulator: `python3 local/install.py install sam` installs it")
        self._log = code.log
        self._loop = asyncio.Runner()
        with code.log.open("ab") as log:
            self._emulator = emulator.Emulator(
                program,
                [code.python, "-S", "-s", "-m", "awslambdaric", "app.lambda_handler"],
                folder=code.folder,
                variables=code.environment(),
                stdout=log.fileno(),
                stderr=log.fileno(),
            )
            self._loop.get_loop()
            self.started = time.perf_counter()
            self._loop.run(self._emulator.start())

    def __enter__(self) -> Self:
        """Return the environment, which the constructor has started."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the environment."""
        with self._loop:
            self._loop.run(self._emulator.stop())

    def invoke(self, event: Mapping[str, Any]) -> Any:
        """Return the answer to an event. The first one starts the function."""
        call = self._emulator.invoke(json.dumps(event).encode())
        try:
            _, body = self._loop.run(asyncio.wait_for(call, _SECONDS))
        except OSError as error:
            log = self._log.read_text()[-3000:]
            raise RuntimeError(f"{self._log.stem} ends without an answer: {error}\n{log}") from error
        return json.loads(body or b"null")

    def succeed(self, event: Mapping[str, Any]) -> None:
        """Invoke the function. Raise RuntimeError with its log if the answer is no success."""
        answer = self.invoke(event)
        status = answer.get("statusCode", 200) if isinstance(answer, dict) else 500
        if status >= 300 or "errorType" in answer:
            raise RuntimeError(f"{self._log.stem} answers {answer}\n{self._log.read_text()[-3000:]}")

    def peak_memory(self) -> float:
        """Return the most MiB that the function's own process has used."""
        (child,) = psutil.Process(self._emulator.pid).children()
        status = Path(f"/proc/{child.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
