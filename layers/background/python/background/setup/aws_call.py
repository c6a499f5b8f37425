"""One signed call to an AWS API. The hook before traffic must start quickly, and boto3 takes half a second."""

import os
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from users.aws.credentials import credentials
from users.aws.http_client import send
from users.aws.signature import signed_headers


def pause(seconds: float) -> None:
    """Wait for about so long, so that all hooks of a deployment do not retry at the same moment."""
    time.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 -- no secret


def post(service: str, path: str, headers: Mapping[str, str], body: bytes, *, timeout: float) -> tuple[int, bytes]:
    """Return status and body of the answer of ``service`` (``lambda``, ``codedeploy``). OSError without an answer.

    Names of headers are in lower case. ``timeout`` is in seconds of silence. ``AWS_ENDPOINT_URL_<SERVICE>`` may point
    elsewhere.
    """
    region = os.environ["AWS_REGION"]
    endpoint = os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or f"https://{service}.{region}.amazonaws.com"
    environment = {"AWS_REGION": region, **credentials()}
    signed = signed_headers(service, urlsplit(endpoint).netloc, path, headers, body, environment, datetime.now(UTC))
    return send("POST", endpoint + path, signed, body, timeout=timeout)
