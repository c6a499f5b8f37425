"""template.yaml as CloudFormation sees it, for the tests of the stack."""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from local.gateway.template import translated
from local.gateway.template.intrinsics import Intrinsics

ROOT = Path(__file__).parents[2]
REGION = "eu-central-1"
# Parameters without a default, which a person must set for a deployment.
GIVEN = {
    "AuthGrpcUrl": "auth.internal:8181",
    "EmailFromAddress": "users@example.com",
    "AdminEmail": "admin@example.com",
}


@cache
def template() -> dict[str, Any]:
    return translated(ROOT / "template.yaml", region=REGION)


def resources(kind: str) -> dict[str, Any]:
    """Return the resources of one type by their logical ids."""
    return {name: resource for name, resource in template()["Resources"].items() if resource["Type"] == kind}


def parameters(**given: str) -> dict[str, Any]:
    """Return the values of all parameters of a deployment that sets these."""
    defaults = {name: about["Default"] for name, about in template()["Parameters"].items() if "Default" in about}
    return {**defaults, **GIVEN, **given}


def takes(about: dict[str, Any], value: str) -> bool:
    """Return whether CloudFormation accepts a value, by the parameter's type, pattern, list and bounds."""
    if about["Type"] == "Number":
        if not re.fullmatch(r"-?\d+", value):  # CloudFormation cannot refuse a fraction, which stops bootstrap
            return False
        if not about.get("MinValue", -1e9) <= float(value) <= about.get("MaxValue", 1e9):
            return False
    pattern, words = about.get("AllowedPattern"), about.get("AllowedValues")
    return (pattern is None or re.fullmatch(pattern, value) is not None) and (words is None or value in map(str, words))


def intrinsics(**given: str) -> Intrinsics:
    """Return intrinsics that evaluate everything that is known before a deployment with these parameters."""
    pseudo = {"AWS::Region": REGION, "AWS::StackName": "users", "AWS::AccountId": "1", "AWS::Partition": "aws"}
    return Intrinsics(
        references={**pseudo, **parameters(**given)}, attributes={}, conditions=template()["Conditions"], mappings={}
    )


def made(**given: str) -> set[str]:
    """Return the logical ids of the resources of a deployment with these parameters."""
    known = intrinsics(**given)
    return {
        name
        for name, resource in template()["Resources"].items()
        if "Condition" not in resource or known.condition(resource["Condition"])
    }


def statements(document: Any) -> Iterator[dict[str, Any]]:
    """Yield the statements of a policy document, also those inside Fn::If."""
    for statement in document["Statement"]:
        for each in statement["Fn::If"][1:] if "Fn::If" in statement else [statement]:
            if "Effect" in each:
                yield each


def references(value: Any) -> Iterator[str]:
    """Yield the logical ids and parameters that a value names, by Ref, GetAtt or Sub."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == "Ref":
                yield member
            elif key == "Fn::GetAtt":
                yield member[0] if isinstance(member, list) else member.split(".")[0]
            elif key == "Fn::Sub":
                yield from _substituted(member)
            else:
                yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def _substituted(argument: Any) -> Iterator[str]:
    text, variables = (argument, {}) if isinstance(argument, str) else argument
    yield from references(list(variables.values()))
    for part in text.split("${")[1:]:
        name = part.split("}")[0]
        if name not in variables and not name.startswith("!"):
            yield name.split(".")[0]


def dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
