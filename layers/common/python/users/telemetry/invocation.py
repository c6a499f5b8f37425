"""The traces that one invocation of a function leaves for operators: log keys, metrics, a span."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from users.errors import Unavailable
from users.telemetry.log import logger
from users.telemetry.metrics import Outcome, measured
from users.telemetry.tracing import invocation_span


@contextmanager
def invocation(
    operation: str, request_id: str, headers: Mapping[str, str] | None = None, route: str = ""
) -> Iterator[Outcome]:
    """Observe the block, which sets the outcome's status. A block that raises has failed.

    ``headers`` may contain the caller's ``traceparent``. ``route`` is the route's key (``GET /users/{id}``), if any.
    """
    logger.append_keys(operation=operation, request_id=request_id)
    attributes = {"users.operation": operation, "users.request_id": request_id}
    if route:
        attributes["http.request.method"], _, attributes["http.route"] = route.partition(" ")
    with measured(operation, request_id) as outcome, invocation_span(operation, headers or {}, attributes, outcome):
        yield outcome


def log_unavailable(error: Unavailable) -> None:
    """Log the dependency that was away, and the reason."""
    logger.error("dependency unavailable", dependency=error.dependency, cause=error.reason)
