"""Functions without a route. Schedules, other functions and CloudFormation invoke them.

@internal("deliver_outbox")
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, int]: ...
"""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from users.edge.readiness import readiness_of
from users.errors import Unavailable, UsersError
from users.readiness import CHECK
from users.settings import WrongSettings
from users.snapstart import prepare
from users.telemetry.invocation import invocation, log_unavailable
from users.telemetry.log import logger, place

Result = TypeVar("Result")
Handler = Callable[[Mapping[str, Any], Any], Result]
# The result, or the answer to CHECK.
LambdaHandler = Callable[[Mapping[str, Any], Any], Result | dict[str, Any]]


class Failed(Exception):
    """An unforeseen error, by its type alone. Lambda logs the text, so it must contain no personal data."""


def internal(
    name: str, *, foreseen: type[Exception] = UsersError
) -> Callable[[Handler[Result]], LambdaHandler[Result]]:
    """Make a Lambda handler that logs, measures and traces under ``name``.

    Every error reaches Lambda: the service's own errors and ``foreseen`` unchanged, any other one as Failed.
    """

    def decorate(handler: Handler[Result]) -> LambdaHandler[Result]:
        check = readiness_of(name)
        prepare()

        @wraps(handler)
        def lambda_handler(event: Mapping[str, Any], context: Any) -> Result | dict[str, Any]:
            if event == CHECK:
                return check()
            with invocation(name, context.aws_request_id) as outcome:
                result = _run(handler, event, context, foreseen)
                outcome.status = 200
                return result

        return lambda_handler

    return decorate


def _run(handler: Handler[Result], event: Mapping[str, Any], context: Any, foreseen: type[Exception]) -> Result:
    try:
        return handler(event, context)
    except Unavailable as error:
        log_unavailable(error)
        raise
    except (UsersError, WrongSettings, foreseen):
        raise
    except Exception as error:  # noqa: BLE001 -- the edge
        logger.error("failed", exception_type=type(error).__name__, place=place(error))
        raise Failed(type(error).__name__) from None
