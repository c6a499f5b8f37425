"""The edge of every gRPC method: run it, turn its error into a status, log one line without tokens."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import grpc
import psycopg

from local.auth.errors import AccessDenied, MalformedRequest, Refused
from local.auth.faults import HANG, Fault, Faults, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

_log = logging.getLogger(__name__)

Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response", bound="Message")
Result = TypeVar("Result")


class Failure(NamedTuple):
    """A status other than OK, and the text that the client reads."""

    status: grpc.StatusCode
    text: str


class Edge:
    """Collects the methods of one gRPC service."""

    def __init__(
        self,
        service: str,
        *,
        database_away: grpc.StatusCode,
        admit: Callable[[grpc.ServicerContext], None] | None = None,
        faults: Faults | None = None,
    ) -> None:
        """Take the status for an unreachable database, and a check of each call that may raise Refused."""
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._service = service
        self._database_away = database_away
        self._admit = admit
        self._faults = faults or Faults()

    def unary(self, name: str, request: type[Request], answer: Callable[[Request], Response]) -> None:
        """Add a method with one request and one response."""

        def handle(message: Request, context: grpc.ServicerContext) -> Response:
            outcome = self._run(name, context, lambda: answer(message))
            return _abort(context, outcome) if isinstance(outcome, Failure) else outcome

        self._handlers[name] = grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=_serialize
        )

    def server_stream(self, name: str, request: type[Request], answer: Callable[[Request], list[Response]]) -> None:
        """Add a method with one request and a stream of responses."""

        def handle(message: Request, context: grpc.ServicerContext) -> Iterator[Response]:
            outcome = self._run(name, context, lambda: answer(message))
            yield from _abort(context, outcome) if isinstance(outcome, Failure) else outcome

        self._handlers[name] = grpc.unary_stream_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=_serialize
        )

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service with all added methods."""
        return grpc.method_handlers_generic_handler(self._service, self._handlers)

    def _run(self, name: str, context: grpc.ServicerContext, call: Callable[[], Result]) -> Result | Failure:
        started = time.monotonic()
        outcome = self._outcome(name, context, call)
        status = outcome.status.name if isinstance(outcome, Failure) else "OK"
        duration = round((time.monotonic() - started) * 1000, 1)
        extra = {"method": f"{self._service}/{name}", "status": status, "duration_ms": duration}
        _log.log(logging.INFO if status == "OK" else logging.WARNING, "call", extra=extra)
        return outcome

    def _outcome(self, name: str, context: grpc.ServicerContext, call: Callable[[], Result]) -> Result | Failure:
        try:
            if self._admit is not None:
                self._admit(context)
            fault = self._faults.next(name)
            if fault is None:
                return call()
            if fault.after:
                call()
            return _meet(fault, context)
        except Refused as error:
            return Failure(error.status, str(error))
        except psycopg.DataError:  # such as a NUL byte in a text
            return Failure(MalformedRequest.status, MalformedRequest.text)
        except psycopg.OperationalError as error:
            _log.warning("database unavailable", extra={"error": str(error).strip()})
            return Failure(self._database_away, "records are unavailable")
        except Exception:  # noqa: BLE001 - a defect: the log contains it, the client gets INTERNAL
            _log.exception("defect", extra={"method": f"{self._service}/{name}"})
            return Failure(grpc.StatusCode.INTERNAL, Refused.text)


def _meet(fault: Fault, context: grpc.ServicerContext) -> Failure:
    if fault.status == HANG:
        hang(context)
        return Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "fault on demand")
    status = grpc.StatusCode[fault.status]
    return Failure(status, AccessDenied.text if status is AccessDenied.status else "fault on demand")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _abort(context: grpc.ServicerContext, failure: Failure) -> NoReturn:
    context.abort(failure.status, failure.text)
    raise AssertionError("abort always raises")
