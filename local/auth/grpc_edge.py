"""The edge of every gRPC method: runs it, maps what it raises to a status, logs one line without tokens."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypeVar

import grpc
import psycopg

from local.auth.errors import AccessDenied, AuthError, MalformedRequest
from local.auth.faults import HANG, Fault, Faults, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

_log = logging.getLogger(__name__)

Request = TypeVar("Request", bound="Message")
Response = TypeVar("Response", bound="Message")
Result = TypeVar("Result")


class Refusal(NamedTuple):
    """A status other than OK, with the text that the client reads."""

    status: grpc.StatusCode
    text: str


class Edge:
    """Collects the methods of one service."""

    def __init__(
        self,
        service: str,
        *,
        database_away: grpc.StatusCode,
        admit: Callable[[grpc.ServicerContext], None] | None = None,
        faults: Faults | None = None,
    ) -> None:
        """Take the status that tells of an unreachable database, and a check that may raise AuthError."""
        self._handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}
        self._service = service
        self._database_away = database_away
        self._admit = admit
        self._faults = faults or Faults()

    def unary(self, name: str, request: type[Request], answer: Callable[[Request], Response]) -> None:
        """Add a method with one request and one response."""

        def handle(message: Request, context: grpc.ServicerContext) -> Response:
            outcome = self._run(name, context, lambda: answer(message))
            return _abort(context, outcome) if isinstance(outcome, Refusal) else outcome

        self._handlers[name] = grpc.unary_unary_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=_serialize
        )

    def server_stream(self, name: str, request: type[Request], answer: Callable[[Request], list[Response]]) -> None:
        """Add a method with one request and a list of responses, sent as a stream."""

        def handle(message: Request, context: grpc.ServicerContext) -> Iterator[Response]:
            outcome = self._run(name, context, lambda: answer(message))
            yield from _abort(context, outcome) if isinstance(outcome, Refusal) else outcome

        self._handlers[name] = grpc.unary_stream_rpc_method_handler(
            handle, request_deserializer=request.FromString, response_serializer=_serialize
        )

    def handler(self) -> grpc.GenericRpcHandler:
        """The service with the methods that were added."""
        return grpc.method_handlers_generic_handler(self._service, self._handlers)

    def _run(self, name: str, context: grpc.ServicerContext, call: Callable[[], Result]) -> Result | Refusal:
        started = time.monotonic()
        outcome: Result | Refusal
        try:
            if self._admit is not None:
                self._admit(context)
            fault = self._faults.next(name)
            outcome = call() if fault is None or fault.after else _meet(fault, context)
            if fault is not None and fault.after:
                outcome = _meet(fault, context)
        except AuthError as error:
            outcome = Refusal(error.status, str(error))
        except psycopg.DataError:  # such as a NUL byte in a text
            outcome = Refusal(MalformedRequest.status, MalformedRequest.text)
        except psycopg.OperationalError as error:
            _log.warning("database unavailable", extra={"error": str(error).strip()})
            outcome = Refusal(self._database_away, "records are unavailable")
        except Exception:  # noqa: BLE001 - a defect: logged whole, told as INTERNAL
            _log.exception("defect", extra={"method": f"{self._service}/{name}"})
            outcome = Refusal(grpc.StatusCode.INTERNAL, AuthError.text)
        status = outcome.status.name if isinstance(outcome, Refusal) else "OK"
        duration = round((time.monotonic() - started) * 1000, 1)
        extra = {"method": f"{self._service}/{name}", "status": status, "duration_ms": duration}
        _log.log(logging.INFO if status == "OK" else logging.WARNING, "call", extra=extra)
        return outcome


def _meet(fault: Fault, context: grpc.ServicerContext) -> Refusal:
    if fault.status == HANG:
        hang(context)
        return Refusal(grpc.StatusCode.DEADLINE_EXCEEDED, "fault on demand")
    status = grpc.StatusCode[fault.status]
    return Refusal(status, AccessDenied.text if status is AccessDenied.status else "fault on demand")


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _abort(context: grpc.ServicerContext, refusal: Refusal) -> NoReturn:
    context.abort(refusal.status, refusal.text)
    raise AssertionError("abort always raises")
