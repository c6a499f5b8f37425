"""The routes and the CORS configuration of a template's HTTP API."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from local.gateway.stack import ANY_METHOD, DEFAULT_ROUTE, INTEGRATION_TIMEOUT, Cors, Route
from local.gateway.template.intrinsics import as_text
from local.gateway.template.translation import TemplateUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.gateway.template.resources import Resources

_FUNCTION_IN_ARN = re.compile(r":function:([A-Za-z0-9_-]+)")
_ANY_METHOD_KEY = "x-amazon-apigateway-any-method"
_METHODS = {"get", "post", "put", "patch", "delete", "head", "options", _ANY_METHOD_KEY}


def function_in(arn: Any) -> str | None:
    """Return the logical id of the function that an ARN or an integration's URI names."""
    found = _FUNCTION_IN_ARN.search(as_text(arn))
    return found[1] if found else None


def read_routes(resources: Resources, warnings: list[str]) -> tuple[Route, ...]:
    """Return the routes. An API that cannot be served becomes one of the `warnings`. Raise TemplateUnusable."""
    routes = tuple(_routes(resources, warnings))
    _check_settings(resources, {route.key for route in routes})
    return routes


def read_cors(resources: Resources) -> Cors | None:
    """Return the first CORS configuration, or None."""
    for _, resource in resources.of("AWS::ApiGatewayV2::Api"):
        body = resource["Properties"].get("Body") or {}
        settings = resources.intrinsics.resolve({"cors": body.get("x-amazon-apigateway-cors", {})}).get("cors")
        if isinstance(settings, dict) and settings:
            return Cors(
                allow_origins=tuple(settings.get("allowOrigins", ())),
                allow_methods=tuple(settings.get("allowMethods", ())),
                allow_headers=tuple(settings.get("allowHeaders", ())),
                expose_headers=tuple(settings.get("exposeHeaders", ())),
                max_age=settings.get("maxAge"),
                allow_credentials=as_text(settings.get("allowCredentials", False)) == "true",
            )
    return None


def _routes(resources: Resources, warnings: list[str]) -> Iterator[Route]:
    for name, resource in resources.of("AWS::ApiGatewayV2::Api"):
        body = resource["Properties"].get("Body")
        if not isinstance(body, dict):
            warnings.append(f"{name}: only routes from function events or an inline definition are served")
            continue
        for path, item in resources.intrinsics.resolve(body.get("paths", {})).items():
            yield from (_route(method, path, operation) for method, operation in item.items() if method in _METHODS)


def _route(method: str, path: str, operation: dict[str, Any]) -> Route:
    where = f"route {method} {path}"
    if path.endswith("/") and path != "/":
        raise TemplateUnusable(f"{where}: API Gateway makes no such route, a path must not end in a slash")
    if any(requirement for requirement in operation.get("security", [])):
        raise TemplateUnusable(f"{where}: authorizers cannot be evaluated locally")
    integration = operation.get("x-amazon-apigateway-integration", {})
    if integration.get("payloadFormatVersion", "2.0") != "2.0":
        raise TemplateUnusable(f"{where}: only payload format 2.0 is served")
    function = function_in(integration.get("uri", ""))
    if function is None:
        raise TemplateUnusable(f"{where}: its integration is not a function of this template")
    any_method = method == _ANY_METHOD_KEY or path == DEFAULT_ROUTE
    return Route(
        method=ANY_METHOD if any_method else method.upper(),
        path=path,
        function=function,
        timeout=float(integration.get("timeoutInMillis", INTEGRATION_TIMEOUT * 1000)) / 1000,
    )


def _check_settings(resources: Resources, keys: set[str]) -> None:
    """Raise TemplateUnusable for settings of a route that no API has: CloudFormation cannot make such a stage."""
    for _, resource in resources.of("AWS::ApiGatewayV2::Stage"):
        for key in resource["Properties"].get("RouteSettings", {}):
            if key not in keys:
                raise TemplateUnusable(f"RouteSettings of {key}: the API has no such route")
