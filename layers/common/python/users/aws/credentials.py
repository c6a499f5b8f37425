"""The function's AWS credentials, under the names of their environment variables.

Lambda sets these variables. Under SnapStart they would be the variables of the snapshot, so each execution environment
has a local address that answers its credentials (the SDKs' container credential provider).
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from users.snapstart import not_in_snapshots

_TIMEOUT = 1.0  # seconds
_RENEWED_BEFORE_END = timedelta(minutes=5)
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_NAMES = {
    "AWS_ACCESS_KEY_ID": "AccessKeyId",
    "AWS_SECRET_ACCESS_KEY": "SecretAccessKey",
    "AWS_SESSION_TOKEN": "Token",
}

_fetched: Mapping[str, str] = {}
_end = _LONG_AGO


def credentials() -> Mapping[str, str]:
    """Return ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY`` and ``AWS_SESSION_TOKEN``. OSError without an answer."""
    global _fetched, _end  # noqa: PLW0603 -- kept until they expire
    url = os.environ.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
    if not url:
        return {name: os.environ[name] for name in _NAMES if name in os.environ}
    if datetime.now(UTC) > _end - _RENEWED_BEFORE_END:
        answer = _get(url)
        try:
            _fetched = {name: answer[key] for name, key in _NAMES.items()}
            _end = datetime.fromisoformat(answer["Expiration"])
        except (KeyError, TypeError, ValueError) as error:
            raise OSError("the credentials' address answers something else") from error
    return _fetched


@not_in_snapshots
def forget_credentials() -> None:
    """Fetch the credentials again at their next use."""
    global _end  # noqa: PLW0603 -- see credentials()
    _end = _LONG_AGO


def _get(url: str) -> Mapping[str, str]:
    from users.aws.http_client import send  # most functions have the variables

    headers = {"Authorization": os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")}
    status, body = send("GET", url, headers, timeout=_TIMEOUT)
    if status != 200:
        raise OSError(f"the credentials' address answers {status}")
    try:
        answer: Mapping[str, str] = json.loads(body)
    except ValueError as error:
        raise OSError("the credentials' address cannot be read") from error
    return answer
