"""What is counted, as CloudWatch metrics: one line in the embedded metric format (EMF) on stdout for each invocation.

Namespace ``Users``, dimensions ``service`` and ``operation`` alone, so that there are at most as many metrics as there
are operations times names; a metric that never has a value costs nothing. The names:

    Requests, Latency (ms), ClientErrors (4xx), ServerErrors (5xx)    every operation and internal function
    InternalErrors                                                    requests that met a defect (500)
    Throttled                                                         requests that a limit refused (429)
    LoginsFailed                                                      issue_token: no such account, wrong password, …
    MailsSent, MailsFailed, MailsSuppressed (to nobody)               deliver_outbox
    MailsLimited (left out: their mailbox got enough of this kind)    deliver_outbox
    OutboxAge (s: of the oldest row that waits), OutboxParked         deliver_outbox
    AccountsSwept, SweepFailures                                      sweep_accounts
    AddressesSuppressed (get no mails any more)                       record_mail_feedback

``POWERTOOLS_METRICS_DISABLED=true`` turns them off. No metric holds an id of anybody; the request id stands in the line
beside them, to be searched for.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

_metrics = EphemeralMetrics(namespace="Users", service=os.environ.get("POWERTOOLS_SERVICE_NAME", "users"))
_counts = Counter[str]()


class Outcome:
    """How an invocation ended: the HTTP ``status``, 500 for an internal function that failed."""

    def __init__(self) -> None:
        self.status = 500


def count(name: str, value: int = 1) -> None:
    """Add to one of this invocation's counts; a count of 0 is told, too."""
    _counts[name] += value


def age(name: str, seconds: float) -> None:
    """Tell how old something is now."""
    _metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=seconds)


@contextmanager
def measured(operation: str, request_id: str) -> Iterator[Outcome]:
    """Measure the block as one invocation and write its line, whether or not the block raises."""
    _counts.clear()  # of an invocation that Lambda ended before its line
    _metrics.clear_metrics()
    started, outcome = time.perf_counter(), Outcome()
    try:
        yield outcome
    finally:
        count("Requests")
        if outcome.status >= 400:
            count("ServerErrors" if outcome.status >= 500 else "ClientErrors")
        for name, value in _counts.items():
            _metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)
        milliseconds = round((time.perf_counter() - started) * 1000, 3)
        _metrics.add_metric(name="Latency", unit=MetricUnit.Milliseconds, value=milliseconds)
        _metrics.add_dimension(name="operation", value=operation)
        _metrics.add_metadata(key="request_id", value=request_id)
        _metrics.flush_metrics()
        _metrics.clear_metrics()
