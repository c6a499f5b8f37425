"""Writes the events of events/ with tokens, ids and names of real accounts of the running system.

The committed events contain `<access_token>` and a made-up id, so the functions answer most of them with 401. A filled
event that would make others fail has an account of its own, so that the events can be sent in any order.
"""

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.parts.launch import ROOT
from local.private_files import write_private
from local.sam_local.committed_events import ACCOUNT_ID, RESET, VERIFICATION, event_of
from local.sam_local.running_system import Person, RunningSystem

_OF_ADMINISTRATORS = ("list_users", "enable_user", "update_user_role")
_OF_UNVERIFIED = ("send_verification", "verify_email")
_CHANGES_FOR_OTHERS = (
    *_OF_UNVERIFIED,
    "delete_user",
    "disable_user",
    "enable_user",
    "reset_password",
    "revoke_refresh_token",
    "update_user_email",
    "update_user_role",
    "update_user_secret",
)


def write_events(environment: Mapping[str, str], folder: Path) -> None:
    """Write every event of events/ into `folder`, which only its owner may read. Raise RequestRefused."""
    system = RunningSystem(environment)
    administrator = system.log_in_administrator()
    shared = system.register(administrator)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in sorted((ROOT / "events").glob("*.json")):
        person = shared
        if path.stem in _CHANGES_FOR_OTHERS:
            person = system.register(administrator, verified=path.stem not in _OF_UNVERIFIED)
        event = _filled(path.stem, system, person, administrator)
        write_private(folder / path.name, json.dumps(event, indent=2) + "\n")


def _filled(operation: str, system: RunningSystem, person: Person, administrator: str) -> dict[str, Any]:
    if operation == "check_version":  # its event names a deployment of CodeDeploy, which does not exist here
        return {"check": "readiness"}
    if operation == "register_user":  # it makes an account, so its name must be new
        name = f"john_doe_{uuid.uuid4().hex[:8]}"
        return event_of(operation, {"john.doe@": f"{name}@", "john_doe": name})
    tokens = system.log_in(person.email)
    if operation in _OF_ADMINISTRATORS:
        tokens["access_token"] = administrator
    new_name = f"jane_doe_{uuid.uuid4().hex[:8]}"
    changes = {
        "<access_token>": tokens["access_token"],
        "<refresh_token>": tokens["refresh_token"],
        "john.doe@example.com": person.email,
        "jane.doe@example.com": f"{new_name}@example.com",
        "jane_doe": new_name,
        ACCOUNT_ID: system.sessions(tokens["access_token"])[0] if operation == "revoke_refresh_token" else person.id,
    }
    if operation == "reset_password":
        changes[RESET] = system.reset_token(person)
    if operation == "enable_user":
        system.disable(person, administrator)
    if operation == "verify_email":
        changes[VERIFICATION] = system.verification_token(person)
    return event_of(operation, changes)
