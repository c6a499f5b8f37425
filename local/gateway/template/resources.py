"""The resources of a translated template whose conditions hold, and the values in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from local.gateway.template.intrinsics import Intrinsics, as_text
from local.gateway.template.translation import TemplateUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT_ID = "123456789012"
STACK_NAME = "local"


class Resources:
    """The resources of one template. `intrinsics` evaluates their values."""

    def __init__(self, template: dict[str, Any], region: str, parameters: dict[str, str]) -> None:
        """Take the output of SAM's translator. `parameters` replace the defaults of the template's own parameters."""
        self._all: dict[str, Any] = template["Resources"]
        self.intrinsics = Intrinsics(
            references={
                **_pseudo_parameters(region),
                **_parameter_values(template.get("Parameters", {}), parameters),
                **self._references(f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:"),
            },
            attributes={
                f"{name}.Arn": f"arn:aws:lambda:{region}:{ACCOUNT_ID}:function:{name}"
                for name, _ in self.of("AWS::Lambda::Function")
            },
            conditions=template.get("Conditions", {}),
            mappings=template.get("Mappings", {}),
        )
        self._all = {
            name: resource
            for name, resource in self._all.items()
            if "Condition" not in resource or self.intrinsics.condition(resource["Condition"])
        }

    def of(self, *kinds: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Return logical id and resource of each resource of these types."""
        return ((name, resource) for name, resource in self._all.items() if resource["Type"] in kinds)

    def get(self, name: str) -> dict[str, Any] | None:
        """Return the resource with this logical id."""
        return self._all.get(name)

    def _references(self, prefix: str) -> dict[str, str]:
        """Return the value of `Ref` for functions and for the aliases and versions that SAM makes of them."""
        functions = {name: name for name, _ in self.of("AWS::Lambda::Function")}
        aliases = {
            name: f"{prefix}{function_of(resource)}:{resource['Properties']['Name']}"
            for name, resource in self.of("AWS::Lambda::Alias")
        }
        versions = {name: f"{prefix}{function_of(resource)}:1" for name, resource in self.of("AWS::Lambda::Version")}
        return functions | aliases | versions


def function_of(resource: dict[str, Any]) -> str:
    """Return the logical id of the function that an alias, a version or an invoke configuration of SAM's belongs to."""
    name = resource["Properties"]["FunctionName"]
    return str(name["Ref"]) if isinstance(name, dict) else str(name)


def _pseudo_parameters(region: str) -> dict[str, Any]:
    return {
        "AWS::Region": region,
        "AWS::AccountId": ACCOUNT_ID,
        "AWS::Partition": "aws",
        "AWS::URLSuffix": "amazonaws.com",
        "AWS::StackName": STACK_NAME,
        "AWS::StackId": f"arn:aws:cloudformation:{region}:{ACCOUNT_ID}:stack/{STACK_NAME}/local",
        "AWS::NotificationARNs": [],
    }


def _parameter_values(definitions: dict[str, Any], overrides: dict[str, str]) -> dict[str, Any]:
    """Return the values of the template's parameters. A parameter with neither override nor default has none."""
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
