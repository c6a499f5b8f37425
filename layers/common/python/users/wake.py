"""Waking ``deliver_outbox`` after a commit: one asynchronous Lambda Invoke, signed here (architecture.md, outbox).

No boto3: it would cost the request path 130 ms at cold start. The signature is AWS Signature Version 4; a test holds
it against botocore's signer. The call may take a second at most, is not repeated, and its failure is only logged: the
schedule delivers within a minute what a lost wake-up leaves.
"""

import hashlib
import hmac
import http.client
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from users.log import logger

_TIMEOUT = 1.0  # seconds
_EMPTY_EVENT = b"{}"

_connection: http.client.HTTPConnection | None = None


def wake_delivery() -> None:
    """Ask Lambda to run the function named by ``OUTBOX_FUNCTION`` now. Never raises for a failed call."""
    function = os.environ.get("OUTBOX_FUNCTION", "")
    if not function:
        return
    endpoint = urlsplit(_endpoint(os.environ["AWS_REGION"]))
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    headers = signed_headers(endpoint.netloc, path, _EMPTY_EVENT, os.environ, datetime.now(UTC))
    try:
        status = _post(endpoint.scheme, endpoint.netloc, path, headers)
    except (OSError, http.client.HTTPException) as error:
        logger.warning("delivery was not woken", exception_type=type(error).__name__)
    else:
        if status != 202:
            logger.warning("delivery was not woken", status=status)


def signed_headers(
    host: str, path: str, body: bytes, environment: Mapping[str, str], moment: datetime
) -> dict[str, str]:
    """The headers of an asynchronous Invoke with its Signature Version 4, by the credentials of ``environment``."""
    region, date, stamp = environment["AWS_REGION"], f"{moment:%Y%m%d}", f"{moment:%Y%m%dT%H%M%SZ}"
    headers = {"host": host, "x-amz-date": stamp, "x-amz-invocation-type": "Event"}
    if token := environment.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    canonical = "\n".join(
        [
            "POST",
            quote(path, safe="/"),
            "",
            *(f"{name}:{headers[name]}" for name in sorted(headers)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{date}/{region}/lambda/aws4_request"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{environment['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (date, region, "lambda", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, to_sign.encode(), "sha256").hexdigest()
    credential = f"{environment['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers


def _endpoint(region: str) -> str:
    return os.environ.get("AWS_ENDPOINT_URL_LAMBDA") or f"https://lambda.{region}.amazonaws.com"


def _post(scheme: str, netloc: str, path: str, headers: Mapping[str, str]) -> int:
    """Send on the kept connection; a kept one that turns out closed is replaced, once."""
    global _connection  # noqa: PLW0603 -- kept between requests of this execution environment
    for fresh in (_connection is None, True):
        if fresh or _connection is None:
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            _connection = kind(netloc, timeout=_TIMEOUT)
        try:
            _connection.request("POST", path, body=_EMPTY_EVENT, headers=dict(headers))
            response = _connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException) as error:
            _connection.close()
            _connection = None
            if fresh or isinstance(error, TimeoutError):  # Lambda may have taken what it does not answer
                raise
        else:
            return response.status
    raise http.client.NotConnected
