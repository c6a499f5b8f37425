"""Answering CloudFormation's custom resource requests: a PUT of a small JSON document to the URL it gave."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.request import Request, urlopen

_TIMEOUT = 10  # seconds


def respond(event: Mapping[str, Any], log_stream: str, failure: str = "") -> None:
    """Tell CloudFormation that the request succeeded, or why it failed. OSError when its bucket is out of reach."""
    physical_id = event.get("PhysicalResourceId") or "users-bootstrap"
    document = {
        "Status": "FAILED" if failure else "SUCCESS",
        "Reason": f"{failure} (log stream {log_stream})" if failure else "",
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
    }
    url: str = event["ResponseURL"]
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("ResponseURL is no https URL")
    # The signature of the URL covers an empty content type.
    request = Request(url, data=json.dumps(document).encode(), method="PUT", headers={"Content-Type": ""})  # noqa: S310
    with urlopen(request, timeout=_TIMEOUT):  # noqa: S310 -- the scheme is checked above
        pass
