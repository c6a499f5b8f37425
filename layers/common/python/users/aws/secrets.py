"""The service's secrets: the setting itself, or what Secrets Manager holds where ``<VARIABLE>_SECRET_ARN`` names it.

``MG_USERS_DB_PASS_SECRET_ARN=arn:aws:secretsmanager:<region>:<account>:secret:<name>`` stands for
``MG_USERS_DB_PASS``; ``:<key>`` after it picks a member of a JSON secret, as RDS writes them. A value is read when it
is first wanted and again after five minutes, so that a rotated secret is taken up; while Secrets Manager cannot be
reached, the value that is there goes on being used. No boto3: see ``users.aws.signature``.
"""

import json
import os
import time
from dataclasses import dataclass, fields

from users.errors import Unavailable
from users.readiness import needed
from users.settings import Settings, SettingsError, settings
from users.snapstart import not_in_snapshots
from users.telemetry.log import logger

_SUFFIX = "_SECRET_ARN"
_FRESH = 300.0  # seconds
_PAUSE = 10.0  # seconds between tries to refresh a value
_TIMEOUT = 2.0  # seconds, of one try
_TRIES = 2
_ARN_PARTS = 7
# Every function has these two variables (template.yaml, Globals), and not every function may read them.
_OF_ALL = {"db_pass", "auth_grpc_client_key"}


@dataclass
class _Known:
    text: str
    stale_at: float  # Unix time
    read_at: float


_VARIABLES: dict[str, str] = {spec.name: spec.metadata["name"] for spec in fields(Settings)}
_known: dict[str, _Known] = {}


def secret(field: str) -> str:
    """The secret of the field of ``Settings``, as ``db_pass``.

    Unavailable when Secrets Manager does not give it and never has; SettingsError for an ARN or a key that is none.
    """
    variable = _VARIABLES[field] + _SUFFIX
    if not (reference := os.environ.get(variable, "")):
        value: str = getattr(settings(), field)
        return value
    known = _known.get(field)
    if known and time.time() < known.stale_at:
        return known.text
    try:
        return _remember(field, _read(variable, reference))
    except Unavailable as error:
        if known is None:
            raise
        logger.warning("secret was not refreshed", variable=variable, cause=str(error.__cause__))
        known.stale_at = time.time() + _PAUSE
        return known.text


def has_changed(field: str) -> bool:
    """Whether Secrets Manager holds another value than the one in use; the new one is in use then.

    For a secret that its receiver has just refused. False where it is a plain setting, or cannot be read.
    """
    variable = _VARIABLES[field] + _SUFFIX
    reference, known = os.environ.get(variable, ""), _known.get(field)
    if not reference or known is None or time.time() < known.read_at + 1:
        return False
    before = known.text
    try:
        return _remember(field, _read(variable, reference)) != before
    except Unavailable:
        return False


@needed
def _read_own() -> None:
    """Read the function's own secrets; those of all functions are read where they are needed."""
    for field, variable in _VARIABLES.items():
        if field not in _OF_ALL and os.environ.get(variable + _SUFFIX):
            secret(field)


@not_in_snapshots
def forget() -> None:
    """Read every secret anew when it is wanted next."""
    _known.clear()


def _remember(field: str, text: str) -> str:
    now = time.time()
    _known[field] = _Known(text, now + _FRESH, now)
    return text


def _read(variable: str, reference: str) -> str:
    """What Secrets Manager holds under ``reference`` (an ARN, with or without a key)."""
    parts = reference.split(":")
    if parts[0] != "arn" or len(parts) not in (_ARN_PARTS, _ARN_PARTS + 1):
        raise SettingsError(f"{variable}: must be a secret's ARN, or that with :<key> after it")
    text = _call(parts[3], ":".join(parts[:_ARN_PARTS]))
    if len(parts) == _ARN_PARTS:
        return text
    try:
        member = json.loads(text)[parts[_ARN_PARTS]]
    except (ValueError, KeyError, TypeError):
        raise SettingsError(f"{variable}: the secret is no JSON object with {parts[_ARN_PARTS]}") from None
    return str(member)


def _call(region: str, arn: str) -> str:
    """GetSecretValue's text; Unavailable when there is none to be had, with what tells why as its cause."""
    from datetime import UTC, datetime  # nothing that a function without such a secret needs
    from urllib.parse import urlsplit

    from users.aws.credentials import credentials
    from users.aws.http_client import send
    from users.aws.signature import signed_headers

    default = f"https://secretsmanager.{region}.amazonaws.com"
    endpoint = os.environ.get("AWS_ENDPOINT_URL_SECRETS_MANAGER") or default
    body = json.dumps({"SecretId": arn}).encode()
    target = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager.GetSecretValue"}
    problem: Exception = OSError()
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
            problem = OSError(f"{status} {document.get('__type', '')}")
            if status < 500 and "Throttl" not in str(problem):
                break
        except (OSError, ValueError, KeyError) as error:
            problem = error
    raise Unavailable("secrets manager") from problem
