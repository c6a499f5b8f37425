"""CloudWatch metrics: each invocation writes one line in the embedded metric format (EMF) to stdout.

The namespace is ``Users``. The only dimensions are ``service`` and ``operation``, which bounds the number of metrics to
operations times names. A metric that never has a value costs nothing. The names:

    Requests, Latency (ms), ClientErrors (4xx), ServerErrors (5xx)    every operation and internal function
    InternalErrors                                                    requests that met a defect (500)
    Throttled                                                         requests that a limit refused (429)
    LoginsFailed                                                      issue_token: unknown account, wrong password, …
    MailsSent, MailsFailed, MailsSuppressed (not sent)                deliver_outbox
    MailsLimited (not sent: limit of the mailbox reached)             deliver_outbox
    OutboxAge (s, of the oldest waiting row), OutboxParked            deliver_outbox
    AccountsSwept, SweepFailures                                      sweep_accounts
    AddressesSuppressed (no more mails to them)                       record_mail_feedback

``POWERTOOLS_METRICS_DISABLED=true`` turns them off. No metric contains the id of a person. The line contains the
request id beside the metrics, for searches.
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
    """The end of an invocation: the HTTP ``status``, 500 for an internal function that failed."""

    def __init__(self) -> None:
        self.status = 500


def count(name: str, value: int = 1) -> None:
    """Add to one of this invocation's counts. A count of 0 is written, too."""
    _counts[name] += value


def age(name: str, seconds: float) -> None:
    """Record an age in seconds."""
    _metrics.add_metric(name=name, unit=MetricUnit.Seconds, value=seconds)


@contextmanager
def measured(operation: str, request_id: str) -> Iterator[Outcome]:
    """Measure the block as one invocation and write its line, whether or not the block raises."""
    _counts.clear()  # left by an invocation that Lambda ended before its line
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
