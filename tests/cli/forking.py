"""Run commands in forks of one process that has imported them. Imports are most of the time of a short command.

python forking.py    reads {"arguments", "environment", "folder", "input"} and answers {"code", "out", "err"}, one
                     JSON object per line
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from users.__main__ import main


def execute(request: dict[str, Any], files: list[Any]) -> int:
    """Become the command. Runs in the fork."""
    for descriptor, file in enumerate(files):
        os.dup2(file.fileno(), descriptor)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv = ["users", *request["arguments"]]
    code = 1
    try:
        code = main()
    except BaseException:  # noqa: BLE001 -- as the interpreter does at the end of a program
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(request["input"].encode())
        given.seek(0)
        process = os.fork() or execute(request, [given, out, err])
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        out.seek(0)
        err.seek(0)
        return {"code": code, "out": out.read().decode(), "err": err.read().decode()}


def prepare() -> None:
    """Import the modules of the commands, and connect to nothing."""
    sys.path.append(str(Path(__file__).parents[2] / "layers" / "background" / "python"))
    import grpc  # noqa: F401
    from authzed.api.v1 import permission_service_pb2_grpc  # noqa: F401

    import users.telemetry.log  # noqa: F401


if __name__ == "__main__":
    prepare()
    for request in sys.stdin:
        print(json.dumps(answer(json.loads(request))), flush=True)
