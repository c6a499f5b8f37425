"""A real receiver of OTLP over HTTP, which decodes exports with the messages of the protocol."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.http_server import HttpServer, http_server


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Its ids are in hexadecimal, and the ``parent`` of a root is empty."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    is_error: bool
    attributes: dict[str, Any]


@dataclass(slots=True)
class Receiver:
    """The exports so far."""

    server: HttpServer

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1/traces"

    @property
    def raw(self) -> bytes:
        return b"".join(request.body for request in self.server.received)

    def spans(self) -> list[Span]:
        return [span for request in list(self.server.received) for span in _spans(request.body)]

    def named(self, name: str) -> Span:
        """Return the only span of that name."""
        (span,) = (span for span in self.spans() if span.name == name)
        return span


def _spans(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        assert _attributes(resource.resource.attributes)["service.name"] == "users"
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    is_error=span.status.code == span.status.STATUS_CODE_ERROR,
                    attributes=_attributes(span.attributes),
                )
                assert not span.events, "an exception's text may contain a caller's values"


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def otlp_receiver() -> Iterator[Receiver]:
    with http_server() as server:
        yield Receiver(server)
