"""Schedules: the gateway invokes functions at a fixed rate, as EventBridge does."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.gateway.stack import Schedule, Stack

_RATE = re.compile(r"rate\((\d+) (second|minute|hour|day)s?\)")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


class UnsupportedSchedule(ValueError):
    """The gateway cannot run this schedule expression."""


def parse_rate(expression: str) -> float:
    """Return the seconds between two invokes of a `rate(n minutes|hours|days)`. Raise UnsupportedSchedule.

    Unlike EventBridge, this also accepts seconds.
    """
    match = _RATE.fullmatch(expression.strip())
    if match is None or int(match[1]) == 0:
        raise UnsupportedSchedule(f"{expression} is not a rate(<n> minutes|hours|days)")
    return int(match[1]) * _SECONDS[match[2]]


async def run_schedule(schedule: Schedule, stack: Stack, fire: Callable[[str, bytes], None]) -> None:
    """Call `fire(function, event)` at the end of every period, until cancelled."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due += schedule.period
        await asyncio.sleep(due - loop.time())
        fire(schedule.function, scheduled_event(schedule, stack, datetime.now(UTC)).encode())


def scheduled_event(schedule: Schedule, stack: Stack, now: datetime) -> str:
    """Return the event's JSON: the schedule's Input with the context attributes of EventBridge Scheduler filled in.

    A schedule without Input has the default event.
    """
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    execution = str(uuid.uuid4())
    kind = "scheduler" if schedule.source == "aws.scheduler" else "events"
    resource = f"schedule/default/{schedule.name}" if kind == "scheduler" else f"rule/{schedule.name}"
    arn = f"arn:aws:{kind}:{stack.region}:{stack.account_id}:{resource}"
    if schedule.payload is not None:
        attributes = {
            "schedule-arn": arn,
            "scheduled-time": time,
            "execution-id": execution,
            "attempt-number": "1",
        }
        payload = schedule.payload
        for name, value in attributes.items():
            payload = payload.replace(f"<aws.scheduler.{name}>", value)
        return payload
    event = {
        "version": "0",
        "id": execution,
        "detail-type": "Scheduled Event",
        "source": schedule.source,
        "account": stack.account_id,
        "time": time,
        "region": stack.region,
        "resources": [arn],
        "detail": "{}" if kind == "scheduler" else {},
    }
    return json.dumps(event)
