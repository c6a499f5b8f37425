"""OpenTelemetry: spans in the trace of the caller (W3C ``traceparent``), exported as OTLP over HTTP.

Lambda freezes a function after its answer, so the spans of an invocation are exported before the answer. After a
failed or slow export, nothing is exported for a minute. The spans of that minute are lost, and no request waits.
"""

import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id, get_current_span, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from users.release import release
from users.telemetry.log import logger
from users.telemetry.metrics import Outcome

_TIMEOUT = 0.25  # seconds, for the collector
_LONGEST_WAIT = 0.3  # seconds, including the name server
_PAUSE = 60.0  # seconds
_MOST_SPANS = 512  # of one invocation: the newest, with the root among them
_PROPAGATOR = TraceContextTextMapPropagator()

Metadata = tuple[tuple[str, str], ...]

logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # `_export` logs a failure once


class _Ids(IdGenerator):
    """Ids from the system's randomness. All copies of a SnapStart snapshot would draw the same from ``random``."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1


class Traces(SpanProcessor):
    """The spans of this execution environment and their way to the collector."""

    def __init__(self, url: str, ratio: float) -> None:
        """Sample ``ratio`` of the traces that begin here. For a caller's trace, the caller decides."""
        resource = Resource({"service.name": "users", "service.version": release().version})
        sampler = ParentBased(TraceIdRatioBased(ratio))
        provider = TracerProvider(sampler, resource, shutdown_on_exit=False, id_generator=_Ids())
        provider.add_span_processor(self)
        self._tracer = provider.get_tracer("users")
        self._exporter = OTLPSpanExporter(endpoint=url, timeout=_TIMEOUT)
        self._ended = deque[ReadableSpan](maxlen=_MOST_SPANS)
        self._paused_until = 0.0

    @contextmanager
    def invocation_span(
        self, name: str, headers: Mapping[str, str], attributes: Mapping[str, str], outcome: Outcome
    ) -> Iterator[None]:
        """Open the root span of an invocation, add its ids to every log line, and export all spans at the end."""
        self._ended.clear()  # left by an invocation that Lambda ended
        parent = _PROPAGATOR.extract(headers, Context())
        span = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        context = span.get_span_context()
        logger.append_keys(trace_id=format_trace_id(context.trace_id), span_id=format_span_id(context.span_id))
        try:
            with use_span(span, record_exception=False, set_status_on_exception=False):
                yield
        finally:
            if "http.route" in attributes:
                span.set_attribute("http.response.status_code", outcome.status)
            if outcome.status >= 500:
                span.set_status(StatusCode.ERROR)
            span.end()
            self._export()
            logger.append_keys(trace_id=None, span_id=None)

    @contextmanager
    def client_span(self, name: str, attributes: Mapping[str, str]) -> Iterator[Metadata]:
        """Open the span of a call, and yield headers that carry the trace. Outside an invocation do neither."""
        if not get_current_span().get_span_context().is_valid:  # a thread beside the invocation
            yield ()
            return
        carrier: dict[str, str] = {}
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.CLIENT, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            _PROPAGATOR.inject(carrier)
            try:
                yield tuple(carrier.items())
            except Exception as error:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", _error_type(error))
                raise

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span for the export."""
        self._ended.append(span)

    def _export(self) -> None:
        spans = list(self._ended)
        self._ended.clear()
        if not spans or time.monotonic() < self._paused_until:
            return
        # In a thread, because the exporter's timeout does not end a hanging name lookup.
        results: list[SpanExportResult] = []
        thread = threading.Thread(target=lambda: results.append(self._exporter.export(spans)), daemon=True)
        thread.start()
        thread.join(_LONGEST_WAIT)
        if results != [SpanExportResult.SUCCESS]:
            self._paused_until = time.monotonic() + _PAUSE
            logger.warning("spans were not exported", seconds_until_next_try=_PAUSE)


def _error_type(error: Exception) -> str:
    """Return gRPC's status if there is one, else the class. The text may contain the caller's data."""
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else type(error).__name__
