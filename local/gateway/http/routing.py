"""Route selection of an HTTP API.

AWS documents the order ("Create routes for HTTP APIs", Routing API requests): a full match, then a greedy path
variable, then $default. AWS does not document two more rules of the service: an exact method precedes ANY, and literal
segments precede variables, from the left. A variable matches one segment that is not empty, as it was sent, so an
encoded slash does not split it. A greedy variable matches the rest of the path, which must not be empty.

A slash at the end of a path counts: `/users/` does not match the route `/users`. Reports differ on whether API Gateway
matches it (powertools-lambda-python#1552: yes, storacha/w3infra#166: no). With the strict rule, a client that works
here works there in both cases.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from local.gateway.stack import ANY_METHOD, DEFAULT_ROUTE, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

_VARIABLE = re.compile(r"\{([^}+]+)(\+?)\}")


@dataclass(frozen=True, slots=True)
class Match:
    """The route of a request, and the decoded path variables."""

    route: Route
    path_parameters: dict[str, str]


class RouteTable:
    """All routes of an API, most specific first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Order `routes` by how specific they are."""
        self._patterns = sorted((_Pattern(route) for route in routes), key=lambda pattern: pattern.rank)

    def match(self, method: str, raw_path: str) -> Match | None:
        """Return the route for a request, or None for 404. `raw_path` is the path as it was sent, percent-encoded."""
        segments = raw_path.split("/")[1:]
        for pattern in self._patterns:
            if pattern.route.method in (method, ANY_METHOD):
                parameters = pattern.match(segments)
                if parameters is not None:
                    return Match(pattern.route, parameters)
        return None


class _Pattern:
    """The path of one route, split into segments: literals and variables."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self._default = route.path == DEFAULT_ROUTE
        self._segments = [] if self._default else route.path.split("/")[1:]
        self._variables = [_VARIABLE.fullmatch(segment) for segment in self._segments]
        self._greedy = bool(self._variables and self._variables[-1] and self._variables[-1][2])
        kind = 2 if self._default else 1 if self._greedy else 0
        specificity = [0 if variable is None else 2 if variable[2] else 1 for variable in self._variables]
        self.rank = (kind, route.method == ANY_METHOD, specificity)

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return the decoded path variables if the path matches, else None."""
        if self._default:
            return {}
        if self._greedy:
            head = len(self._segments) - 1
            if len(segments) <= head or segments[head:] == [""]:
                return None
            segments = [*segments[:head], "/".join(segments[head:])]
        elif len(segments) != len(self._segments):
            return None
        parameters: dict[str, str] = {}
        for sent, literal, variable in zip(segments, self._segments, self._variables, strict=True):
            if variable is None:
                if unquote(sent) != literal:
                    return None
            elif not sent:
                return None
            else:
                parameters[variable[1]] = unquote(sent)
        return parameters
