"""grpc.health.v1: the state of the process under "", and of the service with its database under ``users``."""

import asyncio
from concurrent.futures import Executor

from grpc_health.v1.health import aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from users.errors import Unavailable
from users.repository.lookups import find_enabled

SERVICE = "users"

_LONGEST_WAIT = 2.0  # seconds


class Health(aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """The health service. Each check queries the database, and watchers get every change."""

    def __init__(self, database: Executor) -> None:
        super().__init__()
        self._database = database

    async def Check(self, request: HealthCheckRequest, context: object) -> HealthCheckResponse:  # noqa: N802
        """Answer NOT_SERVING for ``users`` while the database is away, and for both during a stop."""
        if request.service == SERVICE:
            await self.set(SERVICE, await self._status())
        return await super().Check(request, context)

    async def _status(self) -> int:
        look = asyncio.get_running_loop().run_in_executor(self._database, _look)
        try:
            await asyncio.wait_for(look, _LONGEST_WAIT)
        except (Unavailable, TimeoutError):
            return int(HealthCheckResponse.NOT_SERVING)
        return int(HealthCheckResponse.SERVING)


def _look() -> None:
    find_enabled([], offset=0, limit=0, most_bytes=0)
