"""The events of events/, and the texts in them that stand for real ids, names and tokens."""

import json
from collections.abc import Mapping
from typing import Any

from local.parts.launch import ROOT

PASSWORD = "changeMe123"  # noqa: S105 - the password in the events
ACCOUNT_ID = "4f2b5b0a-6f0e-4c0e-9a34-0b9a3f1f7d11"
# One-time tokens of mails.
VERIFICATION = "mgverify_token"
RESET = "mgreset_token"
_NO_CHANGES: Mapping[str, str] = {}


def function_of(operation: str) -> str:
    """Return the logical id of an operation's function in template.yaml."""
    return "".join(word.title() for word in operation.split("_")) + "Function"


def event_of(operation: str, changes: Mapping[str, str] = _NO_CHANGES) -> dict[str, Any]:
    """Return the event of an operation, with the texts of `changes` replaced, and the new length of its body."""
    text = json.dumps(json.loads((ROOT / "events" / f"{operation}.json").read_text()))
    for old, new in changes.items():
        text = text.replace(old, new)
    event: dict[str, Any] = json.loads(text)
    if "requestContext" in event and "body" in event:
        set_body(event, event["body"])
    return event


def set_body(event: dict[str, Any], body: str) -> None:
    """Replace the body of an event, and the headers that describe it."""
    event["body"] = body
    event["headers"] |= {"content-type": "application/json", "content-length": str(len(body.encode()))}
