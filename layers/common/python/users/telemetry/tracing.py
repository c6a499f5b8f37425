"""Spans, exported to ``MG_JAEGER_URL`` (users.telemetry.otlp). Without the URL there are none, and nothing is imported.

Each invocation is a span. Its children are the statements and the calls to other services. No span contains a
statement's parameters, a path with an id, or other personal data. On AWS, X-Ray also traces the functions by itself.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

from users.settings import WrongSettings, settings
from users.snapstart import not_in_snapshots

if TYPE_CHECKING:
    from users.telemetry.metrics import Outcome
    from users.telemetry.otlp import Metadata, Traces

_NO_SPAN: AbstractContextManager[None] = nullcontext()
_NO_METADATA: "AbstractContextManager[Metadata]" = nullcontext(())


def invocation_span(
    name: str, headers: Mapping[str, str], attributes: Mapping[str, str], outcome: "Outcome"
) -> AbstractContextManager[None]:
    """Return the span of an invocation, in its caller's trace. At its end all spans of the invocation are exported."""
    traces = _traces()
    return traces.invocation_span(name, headers, attributes, outcome) if traces else _NO_SPAN


def statement_span(name: str) -> AbstractContextManager[object]:
    """Return the span of the statement ``name``."""
    traces = _traces()
    if not traces:
        return _NO_SPAN
    return traces.client_span(name, {"db.system.name": "postgresql", "db.query.summary": name})


def call_span(method: str) -> "AbstractContextManager[Metadata]":
    """Return the span of a gRPC call to ``/package.Service/Method``. It yields metadata that carries the trace."""
    traces = _traces()
    if not traces:
        return _NO_METADATA
    name = method.lstrip("/")
    service, _, called = name.partition("/")
    return traces.client_span(name, {"rpc.system": "grpc", "rpc.service": service, "rpc.method": called})


@not_in_snapshots
def forget() -> None:
    """Read the settings anew at the next span."""
    _traces.cache_clear()


@cache
def _traces() -> "Traces | None":
    try:
        url, ratio = settings().jaeger_url, settings().jaeger_trace_ratio
    except WrongSettings:  # the next reader of a setting raises it again
        return None
    if not url:
        return None
    from users.telemetry.otlp import Traces

    return Traces(url, ratio)
