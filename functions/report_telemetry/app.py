"""Report the version in use to ``MG_CALLHOME_URL`` once a day. Nothing is sent while it is empty (decisions 4).

The whole report is ``{"service": "users", "version": "<version>"}``. It contains no id of the installation: one report
a day is one installation.
"""

import json
from collections.abc import Mapping
from typing import Any

from background.setup.local_mode import in_local_mode
from users.aws.http_client import send
from users.edge.internal import internal
from users.release import release
from users.settings import WrongSettings, settings
from users.telemetry.log import logger

_TIMEOUT = 3  # seconds


@internal("report_telemetry")
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, bool]:  # noqa: ARG001 -- the event is empty
    """Send the report. Return whether it was accepted. WrongSettings for an address that is not ``https``."""
    url = settings().callhome_url
    if not (url and settings().send_telemetry):
        return {"reported": False}
    if not url.startswith("https://") and not in_local_mode():
        raise WrongSettings("MG_CALLHOME_URL: must start with https://")
    report = {"service": "users", "version": release().version}
    try:
        headers = {"Content-Type": "application/json"}
        status, _ = send("POST", url, headers, json.dumps(report).encode(), timeout=_TIMEOUT)
    except OSError as error:
        logger.warning("telemetry was not reported", exception_type=type(error).__name__)
        return {"reported": False}
    if not 200 <= status < 300:
        logger.warning("telemetry was not reported", status=status)
    return {"reported": 200 <= status < 300}
