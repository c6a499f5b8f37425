"""The needs of a function that must be met before it can serve. Its modules register them.

The function ``check_version`` invokes each new version with the event ``CHECK`` (docs/deploy.md). The edge answers
``READY`` (users.edge.readiness). No request can be the event ``CHECK``, because API Gateway, schedules and EventBridge
wrap their content.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Need = TypeVar("Need", bound=Callable[[], object])

CHECK: Mapping[str, Any] = {"check": "readiness"}
READY: Mapping[str, Any] = {"ready": True}

_needs: list[Callable[[], object]] = []


def needed(need: Need) -> Need:
    """Register a function that must succeed before a version serves. It raises WrongSettings or Unavailable."""
    _needs.append(need)
    return need


def needs() -> tuple[Callable[[], object], ...]:
    """Return the needs that the imported modules have registered."""
    return tuple(_needs)
