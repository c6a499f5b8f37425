"""The TypeScript SDK's Users class, called in a Node process of its own; and a transcript of what clients sent."""

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
    """What a call threw: the SDK throws ``{"status", "error"}`` of an answer that is none of success."""

    def __init__(self, thrown: dict[str, Any]) -> None:
        super().__init__(str(thrown))
        self.status = thrown.get("status")
        self.message = thrown.get("error")


class Transcript:
    """Requests and their statuses, for a person to read (``pytest -s``)."""

    def __init__(self, client: str) -> None:
        self.lines = [client]

    def add(self, call: str, method: str, path: str, status: int) -> None:
        """Note one request, without its ids and tokens."""
        shown = _TOKEN.sub("token=...", _ID.sub("{id}", path))
        self.lines.append(f"  {call:<24}{method:<7}{shown if len(shown) <= 76 else shown[:73] + '...':<76} {status}")

    def tell(self) -> None:
        """Print it."""
        print("\n".join(["", *self.lines]))


class Users:
    """``users.Create(user)`` and so on; every call answers what the SDK's promise holds, or raises SdkError."""

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
    """The SDK's Users class, for the API at ``url``."""
    node = install.node_program(ROOT) or shutil.which("node")
    assert node, "no node: `make test` installs what is needed"
    assert (_FOLDER / "node_modules").exists(), "not installed: `npm ci --ignore-scripts` in tests/clients"
    command = [node, str(_FOLDER / "users.js"), url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Users(process)
        finally:
            process.kill()
