"""Puts together the Stack of a template."""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.gateway.stack import Stack
from local.gateway.template.api import read_cors, read_routes
from local.gateway.template.functions import Functions
from local.gateway.template.resources import ACCOUNT_ID, Resources
from local.gateway.template.schedules import read_schedules
from local.gateway.template.translation import TemplateUnusable, translated_with_folders

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def read_stack(path: Path, *, region: str, parameters: Mapping[str, str] | None = None) -> Stack:
    """Return the Stack that the SAM template at `path` describes. `parameters` override the template's defaults.

    Raise TemplateUnusable.
    """
    overrides = dict(parameters or {})
    template, folders = translated_with_folders(path, region=region, parameters=overrides)
    resources = Resources(template, region, overrides)
    reading = Functions(resources, folders)
    functions = reading.read()
    warnings = reading.warnings
    routes = read_routes(resources, warnings)
    schedules = tuple(read_schedules(resources, warnings))
    for function in [*(route.function for route in routes), *(schedule.function for schedule in schedules)]:
        if function not in functions:
            raise TemplateUnusable(f"a route or schedule names {function}, which is no function of the template")
    return Stack(
        region=region,
        account_id=ACCOUNT_ID,
        functions=functions,
        routes=routes,
        schedules=schedules,
        cors=read_cors(resources),
        unresolved=tuple(dict.fromkeys(reading.unresolved)),
        warnings=tuple(dict.fromkeys(warnings)),
    )
