"""Asking one version of a function whether it is ready to serve (users.readiness), by Lambda's Invoke."""

import json
import time
from typing import Any
from urllib.parse import quote

from operations.aws_call import post
from users.readiness import CHECK, READY

_TIMEOUT = 40.0  # seconds of one try: longer than a check takes where everything times out
# Seconds after each try. A database that hiccups, or an account with too little concurrency, is no reason to roll back.
_PAUSES = (2.0, 5.0, 10.0, 0.0)
_LONGEST_PROBLEM = 1000  # characters


def problem_of(function: str, version: int) -> str:
    """Why this version of the function cannot serve; empty when it is ready. What fails is tried again."""
    problem = ""
    for pause in _PAUSES:
        problem = _ask(function, version)
        if not problem:
            break
        time.sleep(pause)
    return problem


def _ask(function: str, version: int) -> str:
    path = f"/2015-03-31/functions/{quote(f'{function}:{version}', safe='')}/invocations"
    headers = {"content-type": "application/json", "x-amz-invocation-type": "RequestResponse"}
    try:
        status, body = post("lambda", path, headers, json.dumps(dict(CHECK)).encode(), timeout=_TIMEOUT)
        answer: Any = json.loads(body)
    except OSError as error:
        return f"no answer: {type(error).__name__}"
    except ValueError:
        return "an answer that is not JSON"
    if status == 200 and answer == READY:
        return ""
    told = answer if isinstance(answer, dict) else {}
    if "errorType" in told:
        return f"{told['errorType']}: {told.get('errorMessage', '')}"[:_LONGEST_PROBLEM]
    if status != 200:
        return f"Lambda answers {status}: {told.get('Message') or told.get('message', '')}"[:_LONGEST_PROBLEM]
    return "an answer of a version that knows no check"
