"""The wake-up of ``deliver_outbox`` after a commit: one asynchronous Lambda Invoke (docs/architecture.md).

The call takes a second at most, and is not repeated. A failure is logged. The next change wakes again, and the schedule
delivers within a minute anyway. Most changes under load need no call, because a run that has not ended looks again
(``users.repository.outbox.must_wake``). boto3 would make the cold start longer (see ``users.aws.signature``).
"""

import http.client
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import psycopg

from users.aws.credentials import credentials
from users.aws.http_client import open_connection
from users.aws.signature import signed_headers
from users.errors import Unavailable
from users.repository.outbox import must_wake, withdraw_wake
from users.snapstart import not_in_snapshots
from users.telemetry.log import logger

_TIMEOUT = 1.0  # seconds
_EMPTY_EVENT = b"{}"
_ASYNCHRONOUS = {"x-amz-invocation-type": "Event"}

_connection: http.client.HTTPConnection | None = None


def wake_delivery() -> None:
    """Invoke the function that ``OUTBOX_FUNCTION`` names, unless a run will look at the outbox anyway.

    Call this after the commit. A failed call raises nothing.
    """
    function = os.environ.get("OUTBOX_FUNCTION", "")
    if not function:
        return
    if _must_wake() and not _is_taken(function):
        _withdraw()


def _must_wake() -> bool:
    try:
        return must_wake()
    except (Unavailable, psycopg.Error) as error:
        # The change is committed, so the request must not fail any more. A needless wake-up does no harm.
        logger.warning("delivery is woken in any case", exception_type=type(error).__name__)
        return True


def _withdraw() -> None:
    """Let the next change wake. Other changes of this moment relied on this call, which failed."""
    try:
        withdraw_wake()
    except (Unavailable, psycopg.Error) as error:
        logger.warning("the wake-up was not withdrawn", exception_type=type(error).__name__)


def _is_taken(function: str) -> bool:
    """Call Lambda. Return whether it accepted the event. Log a failure."""
    region = os.environ["AWS_REGION"]
    endpoint = urlsplit(_endpoint(region))
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    try:
        environment = {"AWS_REGION": region, **credentials()}
        headers = signed_headers(
            "lambda", endpoint.netloc, path, _ASYNCHRONOUS, _EMPTY_EVENT, environment, datetime.now(UTC)
        )
        status = _post(endpoint.scheme, endpoint.netloc, path, headers)
    except (OSError, http.client.HTTPException) as error:
        logger.warning("delivery was not woken", exception_type=type(error).__name__)
        return False
    if status != 202:
        logger.warning("delivery was not woken", status=status)
    return status == 202


@not_in_snapshots
def close() -> None:
    """Close the connection. The next wake-up opens another."""
    global _connection  # noqa: PLW0603 -- see _post()
    if _connection is not None:
        _connection.close()
        _connection = None


def _endpoint(region: str) -> str:
    return os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or f"https://lambda.{region}.amazonaws.com"


def _post(scheme: str, netloc: str, path: str, headers: Mapping[str, str]) -> int:
    """Send on the kept connection. Replace a kept connection that turns out closed, once."""
    global _connection  # noqa: PLW0603 -- kept between requests of this execution environment
    for fresh in (_connection is None, True):
        if fresh or _connection is None:
            _connection = open_connection(scheme, netloc, _TIMEOUT)
        try:
            _connection.request("POST", path, body=_EMPTY_EVENT, headers=dict(headers))
            response = _connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            _connection.close()
            _connection = None
            if fresh or isinstance(error, TimeoutError):  # Lambda may have accepted the event
                raise
        else:
            return response.status
    raise http.client.NotConnected
