"""Schedules: expressions, events, and that they fire."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from local.gateway.schedules import UnsupportedSchedule, parse_rate, run_schedule, scheduled_event
from local.gateway.stack import Schedule, Stack

_STACK = Stack(region="eu-west-1", account_id="123456789012", functions={})
_NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _schedule(source: str = "aws.scheduler", payload: str | None = None) -> Schedule:
    return Schedule("Tick", "F", "rate(1 minute)", 0.02, source, payload)


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("rate(1 second)", 1),
        ("rate(1 minute)", 60),
        ("rate(5 minutes)", 300),
        ("rate(24 hours)", 86400),
        ("rate(2 days)", 172800),
    ],
)
def test_rate(expression: str, seconds: int) -> None:
    """Rates have minutes, hours or days, and also seconds, which only a local system has."""
    assert parse_rate(expression) == seconds


@pytest.mark.parametrize("expression", ["cron(0 3 * * ? *)", "at(2026-01-01T00:00:00)", "rate(0 minutes)", "rate(1 s)"])
def test_other_expressions(expression: str) -> None:
    """The text of the error contains the expression."""
    with pytest.raises(UnsupportedSchedule, match="is not a rate"):
        parse_rate(expression)


def test_input() -> None:
    """The event is the schedule's Input, with the context attributes of EventBridge Scheduler."""
    payload = '{"at": "<aws.scheduler.scheduled-time>", "by": "<aws.scheduler.schedule-arn>"}'
    assert json.loads(scheduled_event(_schedule(payload=payload), _STACK, _NOW)) == {
        "at": "2026-01-02T03:04:05Z",
        "by": "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/Tick",
    }


@pytest.mark.parametrize(
    ("source", "arn"),
    [
        ("aws.scheduler", "arn:aws:scheduler:eu-west-1:123456789012:schedule/default/Tick"),
        ("aws.events", "arn:aws:events:eu-west-1:123456789012:rule/Tick"),
    ],
)
def test_default_event(source: str, arn: str) -> None:
    """Without Input, the event is the Scheduled Event of EventBridge."""
    event = json.loads(scheduled_event(_schedule(source), _STACK, _NOW))
    assert event["detail-type"] == "Scheduled Event"
    assert (event["source"], event["resources"], event["time"]) == (source, [arn], "2026-01-02T03:04:05Z")


def test_fires_after_every_period() -> None:
    """The function runs at the end of every period."""

    async def three_times() -> list[tuple[str, float]]:
        loop, fired, enough = asyncio.get_running_loop(), [], asyncio.Event()
        began = loop.time()

        def fire(function: str, event: bytes) -> None:
            assert json.loads(event) == {"a": 1}
            fired.append((function, loop.time() - began))
            if len(fired) == 3:
                enough.set()

        task = asyncio.create_task(run_schedule(_schedule(payload='{"a": 1}'), _STACK, fire))
        await asyncio.wait_for(enough.wait(), 30)
        task.cancel()
        return fired

    fired = asyncio.run(three_times())
    assert [function for function, _ in fired] == ["F", "F", "F"]
    assert fired[0][1] >= 0.02
