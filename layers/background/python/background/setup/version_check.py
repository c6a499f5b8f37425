"""The readiness check of one version of a function (users.readiness), by Lambda's Invoke."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from background.setup.aws_call import pause, post
from users.readiness import CHECK, READY

_TIMEOUT = 40.0  # seconds of one try: longer than a check in which everything times out
# Seconds after each try. A short outage of the database is no reason to roll back.
_PAUSES = (2.0, 5.0, 10.0, 0.0)
_LONGEST_PROBLEM = 1000  # characters


class NoRoom(Exception):
    """Lambda already runs as many functions of this account as its limit allows."""


def problem_of(function: str, version: int) -> str:
    """Return the problem of a version, "" when it is ready. Repeat a check that failed.

    Raise NoRoom at once, because a waiting hook uses the room that the version needs.
    """
    problem = ""
    for seconds in _PAUSES:
        problem = _check(function, version)
        if not problem:
            break
        pause(seconds)
    return problem


def invoke_later(function: str, event: Mapping[str, Any]) -> None:
    """Have Lambda run a function when there is room, within hours. OSError when Lambda does not accept the event."""
    status, _ = _invoke(function, "Event", event)
    if status != 202:
        raise OSError(f"Lambda answers {status}")


def _invoke(function: str, kind: str, event: Mapping[str, Any]) -> tuple[int, bytes]:
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    headers = {"content-type": "application/json", "x-amz-invocation-type": kind}
    return post("lambda", path, headers, json.dumps(dict(event)).encode(), timeout=_TIMEOUT)


def _check(function: str, version: int) -> str:
    try:
        status, body = _invoke(f"{function}:{version}", "RequestResponse", CHECK)
        answer: Any = json.loads(body)
    except OSError as error:
        return f"no answer: {type(error).__name__}"
    except ValueError:
        return "an answer that is not JSON"
    if status == 200 and answer == READY:
        return ""
    details = answer if isinstance(answer, dict) else {}
    if "errorType" in details:
        return f"{details['errorType']}: {details.get('errorMessage', '')}"[:_LONGEST_PROBLEM]
    if status != 200:
        reason = details.get("Message") or details.get("message", "")
        problem = f"Lambda answers {status}: {reason}"[:_LONGEST_PROBLEM]
        if status == 429:
            raise NoRoom(f"{function}:{version}: {problem}")
        return problem
    return "an answer of a version that knows no check"
