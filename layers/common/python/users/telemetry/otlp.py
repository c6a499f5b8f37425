"""OpenTelemetry: spans in the trace of the caller (W3C ``traceparent``), exported as OTLP over HTTP.

Lambda freezes a function after its answer, so the spans of an invocation are exported before it. A collector that does
not take them in time is left alone for a while: spans of that while are lost, requests are not held up.
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
_LONGEST_WAIT = 0.3  # seconds, for a name server too
_PAUSE = 60.0  # seconds
_MOST_SPANS = 512  # of one invocation: the newest, its own among them
_PROPAGATOR = TraceContextTextMapPropagator()

Metadata = tuple[tuple[str, str], ...]

logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # told here, once


class _Ids(IdGenerator):
    """Ids of the system's randomness: that of ``random`` would be the same in all copies of a SnapStart snapshot."""

    def generate_span_id(self) -> int:
        return secrets.randbits(64) or 1

    def generate_trace_id(self) -> int:
        return secrets.randbits(128) or 1


class Traces(SpanProcessor):
    """The spans of this execution environment and their way to the collector."""

    def __init__(self, url: str, ratio: float) -> None:
        """Sample ``ratio`` of the traces that begin here; a caller's trace is sampled if the caller's part is."""
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
        """The root of what happens here, its ids in every log line; exports all spans at the end."""
        self._ended.clear()  # of an invocation that Lambda ended
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
        """A call to another service, and the headers that carry the trace there; none where no invocation is."""
        if not get_current_span().get_span_context().is_valid:  # a thread of its own
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
        # In a thread, because a name server that hangs obeys no timeout of the exporter's.
        results: list[SpanExportResult] = []
        thread = threading.Thread(target=lambda: results.append(self._exporter.export(spans)), daemon=True)
        thread.start()
        thread.join(_LONGEST_WAIT)
        if results != [SpanExportResult.SUCCESS]:
            self._paused_until = time.monotonic() + _PAUSE
            logger.warning("spans were not exported", seconds_until_next_try=_PAUSE)


def _error_type(error: Exception) -> str:
    """gRPC's status where it is one, else the class: its text may hold what the caller sent."""
    code = getattr(error, "code", None)
    return str(code().name) if callable(code) else type(error).__name__
