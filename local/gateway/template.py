"""Reads a SAM template into a Stack.

The template goes through SAM's own translator (Globals, implicit API, events and all), as on AWS; what comes
out is plain CloudFormation, from which functions, routes, schedules and CORS are read. Local code folders
pass through the translator as numbered S3 addresses, because it takes no paths; `_LocalPaths` turns them
back.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from local.gateway.intrinsics import UNKNOWN, Intrinsics, as_text
from local.gateway.schedules import UnsupportedSchedule, parse_rate
from local.gateway.stack import (
    ANY_METHOD,
    DEFAULT_RETRIES,
    DEFAULT_ROUTE,
    INTEGRATION_TIMEOUT,
    Cors,
    Function,
    Route,
    Schedule,
    Stack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

ACCOUNT_ID = "123456789012"
STACK_NAME = "local"

_CODE_BUCKET = "local-code"
_CODE_PROPERTIES = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
}
_PLAIN_CODE_PROPERTIES = {"AWS::Lambda::Function": "Code", "AWS::Lambda::LayerVersion": "Content"}
_FUNCTION_IN_ARN = re.compile(r":function:([A-Za-z0-9_-]+)")
_ANY_METHOD_KEY = "x-amazon-apigateway-any-method"
_METHODS = {"get", "post", "put", "patch", "delete", "head", "options"}


class TemplateUnusable(Exception):
    """The template cannot be read or holds something that cannot be served; the text says where and what."""


def read_stack(path: Path, *, region: str, parameters: Mapping[str, str] | None = None) -> Stack:
    """The Stack that the SAM template at `path` describes; `parameters` override the template's defaults.

    Raises TemplateUnusable.
    """
    return _StackReader(_read_yaml(path), path.resolve().parent, region, dict(parameters or {})).read()


def translated(path: Path, *, region: str, parameters: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The SAM template at `path` as CloudFormation; code folders are addresses that lead nowhere.

    Raises TemplateUnusable.
    """
    template = _read_yaml(path)
    _LocalPaths(path).hide(template)
    return _translate(template, region, dict(parameters or {}))


def _read_yaml(path: Path) -> dict[str, Any]:
    from samtranslator.yaml_helper import yaml_parse
    from yaml import YAMLError

    try:
        template = yaml_parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TemplateUnusable(f"template {path}: {error.strerror}") from error
    except YAMLError as error:
        raise TemplateUnusable(f"template {path}: {error}") from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise TemplateUnusable(f"template {path}: it has no Resources")
    return template


def _translate(template: dict[str, Any], region: str, parameters: dict[str, str]) -> dict[str, Any]:
    """The template as CloudFormation, by SAM's translator (0.25 s to import.

    It loads boto3, which is not used).
    """
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    logging.getLogger("samtranslator").setLevel(logging.ERROR)  # it warns that AWS' own feature switches are not here
    translator = Translator({}, Parser(), boto_session=cast("Any", _Session(region)))
    try:
        translated = translator.translate(template, {"AWS::Region": region, **parameters}, get_managed_policy_map=dict)
    except InvalidDocumentException as error:
        causes = "; ".join(str(cause.message) for cause in error.causes)
        raise TemplateUnusable(f"SAM cannot translate the template: {causes}") from error
    return cast("dict[str, Any]", translated)


@dataclass(frozen=True)
class _Session:
    """All that the translator wants of a boto3 session."""

    region_name: str


@dataclass
class _LocalPaths:
    """Code folders of the template, addressed as s3://local-code/<number> while the translator works."""

    root: Path
    paths: list[str] = field(default_factory=list)

    def hide(self, template: dict[str, Any]) -> None:
        """Replace every local code path of the template by its number."""
        self._hide_in(template.get("Globals", {}).get("Function", {}), "CodeUri")
        self._hide_in(template.get("Globals", {}).get("LayerVersion", {}), "ContentUri")
        for resource in template["Resources"].values():
            kind, properties = resource.get("Type"), resource.get("Properties", {})
            if kind in _CODE_PROPERTIES:
                self._hide_in(properties, _CODE_PROPERTIES[kind])
            elif kind in _PLAIN_CODE_PROPERTIES:
                self._hide_plain(properties, _PLAIN_CODE_PROPERTIES[kind])

    def folder(self, owner: str, code: Any) -> Path:
        """The folder that `code` (Code or Content of the translated resource) stands for."""
        if not isinstance(code, dict) or code.get("S3Bucket") != _CODE_BUCKET:
            raise TemplateUnusable(f"{owner}: its code must be a local folder")
        folder = self.root / self.paths[int(code["S3Key"])]
        if not folder.is_dir():
            raise TemplateUnusable(f"{owner}: there is no folder {folder}")
        return folder

    def _hide_in(self, properties: dict[str, Any], name: str) -> None:
        path = properties.get(name)
        if isinstance(path, str) and not urlsplit(path).scheme:
            properties[name] = f"s3://{_CODE_BUCKET}/{len(self.paths)}"
            self.paths.append(path)

    def _hide_plain(self, properties: dict[str, Any], name: str) -> None:
        path = properties.get(name)
        if isinstance(path, str):
            properties[name] = {"S3Bucket": _CODE_BUCKET, "S3Key": str(len(self.paths))}
            self.paths.append(path)


class _StackReader:
    """Reads one template; `read` is its only entry."""

    def __init__(self, template: dict[str, Any], root: Path, region: str, parameters: dict[str, str]) -> None:
        self._region = region
        self._paths = _LocalPaths(root)
        self._paths.hide(template)
        self._template = _translate(template, region, parameters)
        self._warnings: list[str] = []
        self._unresolved: list[str] = []
        self._resources: dict[str, Any] = self._template["Resources"]
        self._intrinsics = self._make_intrinsics(parameters)
        self._resources = {
            name: resource
            for name, resource in self._resources.items()
            if "Condition" not in resource or self._intrinsics.condition(resource["Condition"])
        }

    def read(self) -> Stack:
        functions = {name: self._function(name, resource) for name, resource in self._of("AWS::Lambda::Function")}
        routes = tuple(self._routes())
        self._check_route_settings({route.key for route in routes})
        schedules = tuple(self._schedules())
        for function in (*(route.function for route in routes), *(each.function for each in schedules)):
            if function not in functions:
                raise TemplateUnusable(f"a route or schedule names {function}, which is no function of the template")
        return Stack(
            region=self._region,
            account_id=ACCOUNT_ID,
            functions=functions,
            routes=routes,
            schedules=schedules,
            cors=self._cors(),
            unresolved=tuple(dict.fromkeys(self._unresolved)),
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _of(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Logical id and resource of each resource of these types."""
        return ((name, resource) for name, resource in self._resources.items() if resource["Type"] in kinds)

    def _make_intrinsics(self, overrides: dict[str, str]) -> Intrinsics:
        references: dict[str, Any] = {
            "AWS::Region": self._region,
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::Partition": "aws",
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": STACK_NAME,
            "AWS::StackId": f"arn:aws:cloudformation:{self._region}:{ACCOUNT_ID}:stack/{STACK_NAME}/local",
            "AWS::NotificationARNs": [],
            **_parameter_values(self._template.get("Parameters", {}), overrides),
        }
        attributes: dict[str, Any] = {}
        prefix = f"arn:aws:lambda:{self._region}:{ACCOUNT_ID}:function:"
        for name, _ in self._of("AWS::Lambda::Function"):
            references[name] = name
            attributes[f"{name}.Arn"] = prefix + name
        for name, resource in self._of("AWS::Lambda::Alias"):
            references[name] = prefix + f"{_logical_id(resource)}:{resource['Properties']['Name']}"
        for name, resource in self._of("AWS::Lambda::Version"):
            references[name] = prefix + f"{_logical_id(resource)}:1"
        return Intrinsics(
            references=references,
            attributes=attributes,
            conditions=self._template.get("Conditions", {}),
            mappings=self._template.get("Mappings", {}),
        )

    # --- functions ---

    def _function(self, name: str, resource: dict[str, Any]) -> Function:
        raw = resource["Properties"]
        properties = self._intrinsics.resolve({key: value for key, value in raw.items() if key != "Environment"})
        runtime = properties.get("Runtime", "")
        if not str(runtime).startswith("python"):
            raise TemplateUnusable(f"{name}: only Python functions run here, not {runtime or 'an image'}")
        known_as = properties.get("FunctionName", name)
        return Function(
            logical_id=name,
            code_dir=self._paths.folder(name, properties.get("Code")),
            handler=properties["Handler"],
            runtime=runtime,
            timeout=int(properties.get("Timeout", 3)),
            memory=int(properties.get("MemorySize", 128)),
            variables=dict(self._variables(raw)),
            layer_dirs=tuple(self._layers(name, raw.get("Layers", []))),
            names=(name,) if known_as in (name, UNKNOWN) else (name, known_as),
            aliases=tuple(
                alias["Properties"]["Name"] for _, alias in self._of("AWS::Lambda::Alias") if _logical_id(alias) == name
            ),
            retries=self._retries(name),
        )

    def _variables(self, properties: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Environment variables whose value can be known here; the others are left unset, and told as `unresolved`."""
        for variable, value in properties.get("Environment", {}).get("Variables", {}).items():
            resolved = self._intrinsics.resolve({"value": value}).get("value")
            if resolved is UNKNOWN:
                self._unresolved.append(variable)
            elif resolved is not None:
                yield variable, as_text(resolved)

    def _layers(self, name: str, layers: list[Any]) -> Iterator[Path]:
        for layer in map(self._intrinsics.choose, layers):
            resource = self._resources.get(layer.get("Ref", "")) if isinstance(layer, dict) else None
            if layer == {"Ref": "AWS::NoValue"}:
                continue
            if resource is None:
                self._warnings.append(f"{name}: layer {layer} is not in the template and is left out")
            else:
                yield self._paths.folder(f"layer {layer['Ref']}", resource["Properties"].get("Content"))

    def _retries(self, name: str) -> int:
        for _, resource in self._of("AWS::Lambda::EventInvokeConfig"):
            if self._intrinsics.resolve(resource["Properties"]["FunctionName"]) == name:
                return int(resource["Properties"].get("MaximumRetryAttempts", DEFAULT_RETRIES))
        return DEFAULT_RETRIES

    # --- routes ---

    def _routes(self) -> Iterator[Route]:
        for name, resource in self._of("AWS::ApiGatewayV2::Api"):
            body = resource["Properties"].get("Body")
            if not isinstance(body, dict):
                self._warnings.append(f"{name}: only routes from function events or an inline definition are served")
                continue
            for path, item in self._intrinsics.resolve(body.get("paths", {})).items():
                for method, operation in item.items():
                    if method in _METHODS or method == _ANY_METHOD_KEY:
                        yield self._route(method, path, operation)

    def _route(self, method: str, path: str, operation: dict[str, Any]) -> Route:
        where = f"route {method} {path}"
        if path.endswith("/") and path != "/":
            raise TemplateUnusable(f"{where}: API Gateway makes no such route, a path must not end in a slash")
        if any(requirement for requirement in operation.get("security", [])):
            raise TemplateUnusable(f"{where}: authorizers cannot be evaluated locally")
        integration = operation.get("x-amazon-apigateway-integration", {})
        if integration.get("payloadFormatVersion", "2.0") != "2.0":
            raise TemplateUnusable(f"{where}: only payload format 2.0 is served")
        function = _FUNCTION_IN_ARN.search(as_text(integration.get("uri", "")))
        if function is None:
            raise TemplateUnusable(f"{where}: its integration is not a function of this template")
        any_method = method == _ANY_METHOD_KEY or path == DEFAULT_ROUTE
        return Route(
            method=ANY_METHOD if any_method else method.upper(),
            path=path,
            function=function[1],
            timeout=float(integration.get("timeoutInMillis", INTEGRATION_TIMEOUT * 1000)) / 1000,
        )

    def _check_route_settings(self, keys: set[str]) -> None:
        """Raise TemplateUnusable for settings of a route that no API has: CloudFormation cannot make such a stage."""
        for _, resource in self._of("AWS::ApiGatewayV2::Stage"):
            for key in resource["Properties"].get("RouteSettings", {}):
                if key not in keys:
                    raise TemplateUnusable(f"RouteSettings of {key}: the API has no such route")

    def _cors(self) -> Cors | None:
        for _, resource in self._of("AWS::ApiGatewayV2::Api"):
            properties = resource["Properties"]
            body = properties.get("Body") or {}
            settings = self._intrinsics.resolve({"cors": body.get("x-amazon-apigateway-cors", {})}).get("cors")
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

    # --- schedules ---

    def _schedules(self) -> Iterator[Schedule]:
        for name, resource in self._of("AWS::Events::Rule", "AWS::Scheduler::Schedule"):
            properties = self._intrinsics.resolve(resource["Properties"])
            expression = properties.get("ScheduleExpression")
            if expression is None or properties.get("State", "ENABLED") == "DISABLED":
                continue
            try:
                period = parse_rate(as_text(expression))
            except UnsupportedSchedule as error:
                self._warnings.append(f"schedule {name} is not run locally: {error}")
                continue
            scheduler = resource["Type"] == "AWS::Scheduler::Schedule"
            for target in [properties["Target"]] if scheduler else properties.get("Targets", []):
                function = _FUNCTION_IN_ARN.search(as_text(target.get("Arn", "")))
                if function is not None:
                    source = "aws.scheduler" if scheduler else "aws.events"
                    yield Schedule(name, function[1], expression, period, source, target.get("Input"))


def _logical_id(resource: dict[str, Any]) -> str:
    """The function that an alias, version or invoke configuration (as SAM writes them) belongs to."""
    name = resource["Properties"]["FunctionName"]
    return str(name["Ref"]) if isinstance(name, dict) else str(name)


def _parameter_values(definitions: dict[str, Any], overrides: dict[str, str]) -> dict[str, Any]:
    """Values of the template's parameters; one with neither an override nor a default has none."""
    unused = overrides.keys() - definitions.keys()
    if unused:
        raise TemplateUnusable(f"MG_LOCAL_PARAMETERS names unknown parameters: {', '.join(sorted(unused))}")
    values: dict[str, Any] = {}
    for name, definition in definitions.items():
        kind = definition.get("Type", "String")
        # The default of an SSM parameter is the name of a stored value, which only a deployment can look up.
        stored = kind.startswith("AWS::SSM::Parameter::Value")
        value = overrides.get(name, None if stored else definition.get("Default"))
        if value is not None:
            is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
            values[name] = [part.strip() for part in as_text(value).split(",")] if is_list else value
    return values
