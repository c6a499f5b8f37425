"""HTTP requests for Auth's keys and to AWS' APIs, by ``http.client``. urllib and boto3 cost a cold start much more.

The certificate authorities take 30 ms to load. They are loaded once for all connections, and not for ``http``.
"""

import http.client
import ssl
from collections.abc import Mapping
from contextlib import closing
from functools import cache
from urllib.parse import urlsplit

from users.snapstart import not_in_snapshots

_LONGEST_ANSWER = 1024 * 1024


def open_connection(scheme: str, netloc: str, timeout: float, authority: str = "") -> http.client.HTTPConnection:
    """Return a connection that is not connected yet. ``https`` verifies certificates and names.

    ``timeout`` is in seconds. ``authority`` is a certificate (path or PEM) to trust beside the system's.
    """
    if scheme == "https":
        return http.client.HTTPSConnection(netloc, timeout=timeout, context=_tls_context(authority))
    return http.client.HTTPConnection(netloc, timeout=timeout)


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
    *,
    timeout: float,
    authority: str = "",
) -> tuple[int, bytes]:
    """Return the answer's status and the first megabyte of its body. Follow no redirects.

    ``authority`` as in ``open_connection``. OSError after ``timeout`` seconds of silence, and for an answer that is not
    HTTP.
    """
    address = urlsplit(url)
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    try:
        with closing(open_connection(address.scheme, address.netloc, timeout, authority)) as connection:
            connection.request(method, target, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read(_LONGEST_ANSWER)
    except http.client.HTTPException as error:
        raise OSError(f"{type(error).__name__} instead of an answer") from error


@cache
def _tls_context(authority: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if authority:
        kind = "cadata" if "-----BEGIN" in authority else "cafile"
        context.load_verify_locations(**{kind: authority})
    return context


not_in_snapshots(_tls_context.cache_clear)
