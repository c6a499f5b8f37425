"""GET /health: that the service answers, and which build of it (contract §1.6.25). No dependency is asked."""

import os
import uuid

from users.access import ANYBODY
from users.edge import Reply, Request, operation
from users.settings import settings

_INSTANCE_ID = settings().instance_id or str(uuid.uuid4())


@operation("health", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:  # noqa: ARG001 -- every operation takes its request
    """Answer the health object of draft-inadarei-api-health-check."""
    health = {
        "status": "pass",
        "version": os.environ.get("SERVICE_VERSION", "0.0.0"),
        "commit": os.environ.get("SERVICE_COMMIT", "ffffffff"),
        "description": "users service",
        "build_time": os.environ.get("SERVICE_BUILD_TIME", "1970-01-01_00:00:00"),
        "instance_id": _INSTANCE_ID,
    }
    return Reply(200, health, {"Content-Type": "application/health+json"})
