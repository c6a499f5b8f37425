"""The Users class of the TypeScript SDK in a Node process, and a transcript of the requests that clients sent."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from local import install
from local.parts.launch import ROOT

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN = re.compile(r"token=[^&]+")
_FOLDER = ROOT / "tests" / "clients"


class SdkError(Exception):
    """The error of a call: the SDK throws ``{"status", "error"}`` unless the answer is a success."""

    def __init__(self, thrown: dict[str, Any]) -> None:
        super().__init__(str(thrown))
        self.status = thrown.get("status")
        self.message = thrown.get("error")


class Transcript:
    """Requests and their statuses, printed for a person (``pytest -s``)."""

    def __init__(self, client: str) -> None:
        self.lines = [client]

    def add(self, call: str, method: str, path: str, status: int) -> None:
        """Add a request, without its ids and tokens."""
        shown = _TOKEN.sub("token=...", _ID.sub("{id}", path))
        self.lines.append(f"  {call:<24}{method:<7}{shown if len(shown) <= 76 else shown[:73] + '...':<76} {status}")

    def show(self) -> None:
        """Print the requests."""
        print("\n".join(["", *self.lines]))


class Users:
    """``users.Create(user)`` and so on. A call returns the value of the SDK's promise, or raises SdkError."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.methods: list[str] = self._answer()["methods"]
        self.called: set[str] = set()
        self.transcript = Transcript("@absmach/magistrala-sdk, class Users")

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the class."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"call": method, "args": arguments}) + "\n")
        self._process.stdin.flush()
        answer = self._answer()
        self.called.add(method)
        for request in answer["requests"]:
            self.transcript.add(method, request["method"], request["path"], request["status"])
        if answer["error"] is not None:
            raise SdkError(answer["error"])
        return answer["result"]

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the Node process ended"
        return json.loads(line)


@contextmanager
def typescript_sdk(url: str) -> Iterator[Users]:
    """Yield the SDK's Users class, for the API at ``url``."""
    node = install.node_program(ROOT) or shutil.which("node")
    assert node, "no node: `make test` installs what is needed"
    assert (_FOLDER / "node_modules").exists(), "not installed: `npm ci --ignore-scripts` in tests/clients"
    command = [node, str(_FOLDER / "users.js"), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Users(process)
        finally:
            process.kill()
