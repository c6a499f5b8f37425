"""GET /health: the state of the service and its dependencies, and the build (contract §1.6.25).

``fail`` (503): the database or Auth does not answer. ``warn`` (200): the outbox will make up for the delay.
"""

import uuid
from functools import cache

from dependencies import Check, checks
from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.release import release
from users.settings import settings
from users.snapstart import not_in_snapshots


@cache
def _instance_id() -> str:
    return str(uuid.uuid4())


not_in_snapshots(_instance_id.cache_clear)


@operation("health", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:  # noqa: ARG001 -- every operation takes its request
    """Answer the health object of draft-inadarei-api-health-check."""
    found = checks()
    statuses = {check.status for check in found}
    status = next((worst for worst in ("fail", "warn") if worst in statuses), "pass")
    build = release()
    health = {
        "status": status,
        "version": build.version,
        "commit": build.commit,
        "description": "users service",
        "build_time": build.build_time,
        "instance_id": settings().instance_id or _instance_id(),
        "checks": {check.name: [_as_json(check)] for check in found},
    }
    return Reply(503 if status == "fail" else 200, health, {"Content-Type": "application/health+json"})


def _as_json(check: Check) -> dict[str, object]:
    told: dict[str, object] = {"componentType": check.kind, "status": check.status}
    if check.value is not None:
        told |= {"observedValue": check.value, "observedUnit": check.unit}
    return told
