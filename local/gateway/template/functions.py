"""The functions of a template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.gateway.stack import DEFAULT_RETRIES, Function
from local.gateway.template.intrinsics import UNKNOWN, as_text
from local.gateway.template.resources import Resources, function_of
from local.gateway.template.translation import CodeFolders, TemplateUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Functions:
    """Reads the functions.

    `unresolved` are the environment variables whose value only a deployment has, and `warnings` the layers that are
    left out. Both may contain an entry twice.
    """

    def __init__(self, resources: Resources, folders: CodeFolders) -> None:
        """Read from `resources`, whose code lies in `folders`."""
        self._resources = resources
        self._folders = folders
        self.unresolved: list[str] = []
        self.warnings: list[str] = []

    def read(self) -> dict[str, Function]:
        """Return the functions by their logical ids. Raise TemplateUnusable."""
        return {name: self._function(name, raw) for name, raw in self._resources.of("AWS::Lambda::Function")}

    def _function(self, name: str, resource: dict[str, Any]) -> Function:
        raw = resource["Properties"]
        without_variables = {key: value for key, value in raw.items() if key != "Environment"}
        properties = self._resources.intrinsics.resolve(without_variables)
        runtime = properties.get("Runtime", "")
        if not str(runtime).startswith("python"):
            raise TemplateUnusable(f"{name}: only Python functions run here, not {runtime or 'an image'}")
        known_as = properties.get("FunctionName", name)
        aliases = self._resources.of("AWS::Lambda::Alias")
        return Function(
            logical_id=name,
            code_dir=self._folders.folder(name, properties.get("Code")),
            handler=properties["Handler"],
            runtime=runtime,
            timeout=int(properties.get("Timeout", 3)),
            memory=int(properties.get("MemorySize", 128)),
            variables=dict(self._variables(raw)),
            layer_dirs=tuple(self._layers(name, raw.get("Layers", []))),
            names=(name,) if known_as in (name, UNKNOWN) else (name, known_as),
            aliases=tuple(alias["Properties"]["Name"] for _, alias in aliases if function_of(alias) == name),
            retries=self._retries(name),
        )

    def _variables(self, properties: dict[str, Any]) -> Iterator[tuple[str, str]]:
        for variable, value in properties.get("Environment", {}).get("Variables", {}).items():
            resolved = self._resources.intrinsics.resolve({"value": value}).get("value")
            if resolved is UNKNOWN:
                self.unresolved.append(variable)
            elif resolved is not None:
                yield variable, as_text(resolved)

    def _layers(self, name: str, layers: list[Any]) -> Iterator[Path]:
        for layer in map(self._resources.intrinsics.choose, layers):
            resource = self._resources.get(layer.get("Ref", "")) if isinstance(layer, dict) else None
            if layer == {"Ref": "AWS::NoValue"}:
                continue
            if resource is None:
                self.warnings.append(f"{name}: layer {layer} is not in the template and is left out")
            else:
                yield self._folders.folder(f"layer {layer['Ref']}", resource["Properties"].get("Content"))

    def _retries(self, name: str) -> int:
        for _, resource in self._resources.of("AWS::Lambda::EventInvokeConfig"):
            if self._resources.intrinsics.resolve(resource["Properties"]["FunctionName"]) == name:
                return int(resource["Properties"].get("MaximumRetryAttempts", DEFAULT_RETRIES))
        return DEFAULT_RETRIES
