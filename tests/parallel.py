"""Truly simultaneous calls: execution environments are processes, each with its own connection."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tests.service import ROOT, Answer, Service

_PATHS = [ROOT, ROOT / "layers/common/python", ROOT / "layers/background/python", ROOT / "functions/health"]


class Environments:
    """Processes that wait for calls."""

    def __init__(self, count: int) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, _PATHS))}
        self._processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.parallel"],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            for _ in range(count)
        ]

    def call(self, service: Service, calls: Sequence[dict[str, Any]]) -> list[Answer]:
        """Make calls (keywords of ``Service.call``) in all processes at once, each its share in order.

        Return the answers.
        """
        shares = [list(calls[start :: len(self._processes)]) for start in range(len(self._processes))]
        setting = {"environment": service.environment, "conninfo": service.conninfo}
        for process, share in zip(self._processes, shares, strict=True):
            _send(process.stdin, setting | {"calls": share})
        for process in self._processes:
            assert _receive(process.stdout) == "ready"
        for process in self._processes:
            _send(process.stdin, "go")
        answers = [[Answer(**answer) for answer in _receive(process.stdout)] for process in self._processes]
        return [answers[index % len(answers)][index // len(answers)] for index in range(len(calls))]

    def stop(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.communicate()


def _send(stream: Any, message: object) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _receive(stream: Any) -> Any:
    return json.loads(stream.readline())


def _work() -> None:
    """Serve the parent until it closes the pipe. Log lines of the service must not reach the pipe."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    while line := sys.stdin.readline():
        order = json.loads(line)
        service = Service(order["environment"], order["conninfo"])
        with service.configured():
            from tests.service import handler
            from users.repository.accounts import find_account

            find_account("")  # this connects
            for call in order["calls"]:
                handler(call["operation"])
            _send(answers, "ready")
            sys.stdin.readline()
            _send(answers, [asdict(service.call(**call)) for call in order["calls"]])


if __name__ == "__main__":
    _work()
