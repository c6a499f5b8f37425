"""The service's secrets: from Secrets Manager where ``<VARIABLE>_SECRET_ARN`` is set, else the variable itself.

``MG_USERS_DB_PASS_SECRET_ARN=arn:aws:secretsmanager:<region>:<account>:secret:<name>`` replaces ``MG_USERS_DB_PASS``.
With ``:<key>`` after it, the ARN names a member of a JSON secret, as RDS writes them. The first use of a secret reads
it, and so does the first use after five minutes, so that functions notice a rotation. While Secrets Manager does not
answer, functions use the value that they have. No boto3: see ``users.aws.signature``.
"""

import json
import os
import time
from dataclasses import dataclass

from users.errors import Unavailable
from users.readiness import needed
from users.settings import Secret, WrongSettings, settings
from users.snapstart import not_in_snapshots
from users.telemetry.log import logger

_FRESH = 300.0  # seconds
_PAUSE = 10.0  # seconds between two tries to refresh a value
_TIMEOUT = 2.0  # seconds, of one try
_TRIES = 2
_ARN_PARTS = 7


@dataclass
class _Known:
    text: str
    stale_at: float  # Unix time
    read_at: float


_known: dict[str, _Known] = {}  # by variable


def secret(setting: Secret) -> str:
    """Return the secret of a setting, such as ``settings().db_pass``.

    Raise Unavailable when Secrets Manager does not return the secret and never has, and WrongSettings for a wrong ARN
    or key.
    """
    if not (reference := _reference(setting)):
        return setting.plain
    known = _known.get(setting.variable)
    if known and time.time() < known.stale_at:
        return known.text
    try:
        return _remember(setting, _read(setting, reference))
    except Unavailable as error:
        if known is None:
            raise
        logger.warning("secret was not refreshed", variable=_arn_variable(setting), cause=error.reason)
        known.stale_at = time.time() + _PAUSE
        return known.text


def has_changed(setting: Secret) -> bool:
    """Return whether Secrets Manager has another value than the one in use, and use the new one from then on.

    For a secret that its receiver has just refused. Return False where Secrets Manager does not have the secret, or
    does not answer.
    """
    reference, known = _reference(setting), _known.get(setting.variable)
    if not reference or known is None or time.time() < known.read_at + 1:
        return False
    before = known.text
    try:
        return _remember(setting, _read(setting, reference)) != before
    except Unavailable:
        return False


@needed
def _read_own() -> None:
    """Read the secrets of this function alone.

    Globals in template.yaml sets two more for all functions. Some functions may not read those, so ``users.database``
    and ``users.auth_client`` read them.
    """
    of_all = {settings().db_pass, settings().auth_grpc_client_key}
    for setting in settings().secrets():
        if setting not in of_all and _reference(setting):
            secret(setting)


@not_in_snapshots
def forget() -> None:
    """Read every secret again at its next use."""
    _known.clear()


def _arn_variable(setting: Secret) -> str:
    return f"{setting.variable}_SECRET_ARN"


def _reference(setting: Secret) -> str:
    """Return the ARN, with or without a key, or an empty text."""
    return os.environ.get(_arn_variable(setting), "")


def _remember(setting: Secret, text: str) -> str:
    now = time.time()
    _known[setting.variable] = _Known(text, now + _FRESH, now)
    return text


def _read(setting: Secret, reference: str) -> str:
    """Return what Secrets Manager holds under ``reference``."""
    parts = reference.split(":")
    if parts[0] != "arn" or len(parts) not in (_ARN_PARTS, _ARN_PARTS + 1):
        raise WrongSettings(f"{_arn_variable(setting)}: must be a secret's ARN, or that with :<key> after it")
    text = _call(parts[3], ":".join(parts[:_ARN_PARTS]))
    if len(parts) == _ARN_PARTS:
        return text
    try:
        member = json.loads(text)[parts[_ARN_PARTS]]
    except (ValueError, KeyError, TypeError):
        problem = f"{_arn_variable(setting)}: the secret is no JSON object with {parts[_ARN_PARTS]}"
        raise WrongSettings(problem) from None
    return str(member)


def _call(region: str, arn: str) -> str:
    """Return the text that GetSecretValue returns. Raise Unavailable when there is none."""
    from datetime import UTC, datetime  # here, because a function without such a secret needs none of these
    from urllib.parse import urlsplit

    from users.aws.credentials import credentials
    from users.aws.http_client import send
    from users.aws.signature import signed_headers

    default = f"https://secretsmanager.{region}.amazonaws.com"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER") or default
    body = json.dumps({"SecretId": arn}).encode()
    target = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager.GetSecretValue"}
    problem = ""
    for _ in range(_TRIES):
        try:
            environment = {"AWS_REGION": region, **credentials()}
            moment = datetime.now(UTC)
            headers = signed_headers(
                "secretsmanager", urlsplit(endpoint).netloc, "/", target, body, environment, moment
            )
            status, answer = send("POST", endpoint, headers, body, timeout=_TIMEOUT)
            document = json.loads(answer)
            if status == 200:
                return str(document["SecretString"])
            problem = f"{status} {document.get('__type', '')}"
            if status < 500 and "Throttl" not in problem:
                break
        except (OSError, ValueError, KeyError) as error:
            problem = type(error).__name__
    raise Unavailable("secrets manager", problem)
