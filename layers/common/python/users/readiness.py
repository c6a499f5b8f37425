"""What a function needs before it can serve, as its modules register it.

The function ``check_version`` invokes each new version with the event ``CHECK`` (docs/deploy.md). The edge answers
``READY`` (users.edge.readiness). No request can be the event ``CHECK``: API Gateway, schedules and EventBridge wrap
what they are given.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Need = TypeVar("Need", bound=Callable[[], object])

CHECK: Mapping[str, Any] = {"check": "readiness"}
READY: Mapping[str, Any] = {"ready": True}

_needs: list[Callable[[], object]] = []


def needed(need: Need) -> Need:
    """Register a function that has to succeed before a version serves; it raises WrongSettings or Unavailable."""
    _needs.append(need)
    return need


def needs() -> tuple[Callable[[], object], ...]:
    """Return what the modules that are imported by now have registered."""
    return tuple(_needs)
