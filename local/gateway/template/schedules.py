"""The schedules of a template: rules of EventBridge, and schedules of EventBridge Scheduler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.gateway.schedules import UnsupportedSchedule, parse_rate
from local.gateway.stack import Schedule
from local.gateway.template.api import function_in
from local.gateway.template.intrinsics import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.gateway.template.resources import Resources


def read_schedules(resources: Resources, warnings: list[str]) -> Iterator[Schedule]:
    """Yield the enabled schedules that invoke functions. One that cannot run here becomes one of the `warnings`."""
    for name, resource in resources.of("AWS::Events::Rule", "AWS::Scheduler::Schedule"):
        properties = resources.intrinsics.resolve(resource["Properties"])
        expression = properties.get("ScheduleExpression")
        if expression is None or properties.get("State", "ENABLED") == "DISABLED":
            continue
        try:
            period = parse_rate(as_text(expression))
        except UnsupportedSchedule as error:
            warnings.append(f"schedule {name} is not run locally: {error}")
            continue
        scheduler = resource["Type"] == "AWS::Scheduler::Schedule"
        source = "aws.scheduler" if scheduler else "aws.events"
        for target in [properties["Target"]] if scheduler else properties.get("Targets", []):
            function = function_in(target.get("Arn", ""))
            if function is not None:
                yield Schedule(name, function, expression, period, source, target.get("Input"))
