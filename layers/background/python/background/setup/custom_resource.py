"""Answers to CloudFormation's requests for a custom resource: a PUT of a small JSON document to the request's URL.

Every request gets an answer, because CloudFormation waits an hour for a missing one.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from users.aws.http_client import send
from users.telemetry.log import logger, place

# The longest time of an answer, in seconds. The work must end this long before the function's timeout.
RESERVE = 30
_TIMEOUT = 8  # seconds of one try
_TRIES = 3
_REASON_CHARACTERS = 1000  # CloudFormation accepts 4 KB for the whole document
_PHYSICAL_ID = "users-bootstrap"  # always the same, because CloudFormation deletes a resource whose id changes


def answered(
    event: Mapping[str, Any], log_stream: str, work: Callable[[], Mapping[str, Any]], *, foreseen: type[Exception]
) -> dict[str, Any]:
    """Do the work of a Create or Update, and report the result to CloudFormation. A Delete leaves the data.

    The answer contains the text of a ``foreseen`` error. It contains only the type of any other error, whose text may
    be confidential. OSError when CloudFormation's bucket is out of reach. Lambda then calls the function again.
    """
    failure, done = "", {}
    try:
        if event.get("RequestType") != "Delete":
            done = dict(work())
    except foreseen as error:
        failure = str(error)
    except Exception as error:  # noqa: BLE001 -- the edge of the function: CloudFormation needs an answer
        logger.error("failed", exception_type=type(error).__name__, place=place(error))
        failure = f"an unforeseen {type(error).__name__}"
    respond(event, log_stream, failure, done)
    return {"failure": failure} if failure else done


def respond(
    event: Mapping[str, Any], log_stream: str, failure: str = "", data: Mapping[str, Any] | None = None
) -> None:
    """Report success or the failure to CloudFormation. OSError when its bucket is out of reach."""
    document = {
        "Status": "FAILED" if failure else "SUCCESS",
        "Reason": f"{failure[:_REASON_CHARACTERS]} (log stream {log_stream})" if failure else "",
        "PhysicalResourceId": event.get("PhysicalResourceId") or _PHYSICAL_ID,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": data or {},
    }
    url: str = event["ResponseURL"]
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("ResponseURL is no https URL")
    # The signature of the URL covers an empty content type.
    headers, body = {"Content-Type": ""}, json.dumps(document).encode()
    for attempt in range(1, _TRIES + 1):
        try:
            status, _ = send("PUT", url, headers, body, timeout=_TIMEOUT)
        except OSError:
            if attempt == _TRIES:
                raise
        else:
            if status < 300:
                return
            if status < 500 or attempt == _TRIES:
                raise OSError(f"CloudFormation's bucket answers {status}")
