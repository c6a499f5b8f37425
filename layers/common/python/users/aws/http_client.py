"""HTTP requests to Auth's keys and AWS' APIs, by ``http.client``: urllib and boto3 cost a cold start much more.

The authorities that TLS goes by take 30 ms to load: once for all connections, and not at all for ``http``.
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
    """A connection that is not connected yet; ``https`` checks certificates and names. ``timeout`` is in seconds.

    ``authority`` is a certificate (path or PEM) that is trusted beside the system's.
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
    """The answer's status and body, of which a megabyte is read; redirects are not followed.

    ``authority`` as in ``open_connection``. OSError when no answer comes within ``timeout`` seconds of silence, or it
    is not HTTP.
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
