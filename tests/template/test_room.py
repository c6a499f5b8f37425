"""Room in the template: 80 operations of today's design fit into one stack, and an ordinary one takes twelve lines."""

import re
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from local.gateway.template import translated
from tests.template.cloudformation import REGION, ROOT, dumped

WANTED = 80  # operations
TEMPLATE = (ROOT / "template.yaml").read_text()
# An ordinary operation: it changes an account, and has one route.
ORDINARY = "UpdateUserTags"


def block(operation: str) -> str:
    """Return the lines of an operation's function."""
    found = re.search(rf"^  {operation}Function:\n(?:    .*\n)+", TEMPLATE, re.MULTILINE)
    assert found is not None
    return found[0]


def routes(operation: str) -> str:
    """Return the lines of an operation's routes, with the line of a path that several operations have."""
    lines = TEMPLATE.partition("        paths:\n")[2].partition("\n      DefaultRouteSettings:")[0].splitlines()
    own, path = [], ""
    for line in lines:
        if line.startswith("          /"):
            path = line
        elif f"${{{operation}Function.Arn}}:live/" in line:
            own += [line] if path in own else [path, line]
    return "".join(f"{line}\n" for line in own)


def operations() -> list[str]:
    section = TEMPLATE.partition("- Operations\n")[2].partition("\n  # ----")[0]
    return re.findall(r"^  (\w+)Function:$", section, re.MULTILINE)


@cache
def full() -> dict[str, Any]:
    """Return the transformed template with the wanted number of operations."""
    text = TEMPLATE
    for number in range(WANTED - len(operations())):
        further = block(ORDINARY).replace(f"{ORDINARY}Function", f"Further{number}Function")
        route = routes(ORDINARY).replace(f"{ORDINARY}Function", f"Further{number}Function")
        text = text.replace("Resources:\n", f"Resources:\n{further}", 1)
        text = text.replace("        paths:\n", "        paths:\n" + route.replace("/tags:", f"/further{number}:"), 1)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "template.yaml"
        file.write_text(text)
        return translated(file, region=REGION)


def test_there_is_room_for_eighty_operations() -> None:
    assert len(operations()) <= WANTED
    functions = [each for each in full()["Resources"].values() if each["Type"] == "AWS::Lambda::Function"]
    assert len(functions) >= WANTED
    assert len(full()["Resources"]) < 490  # CloudFormation allows 500
    assert len(dumped(full())) < 1_000_000  # characters
    paths = full()["Resources"]["Api"]["Properties"]["Body"]["paths"]
    assert sum(len(item) for item in paths.values()) < 300  # API Gateway's quota of one API


def test_a_policy_has_room_for_them() -> None:
    """IAM allows 10 240 characters in a role's policies and 6 144 in a managed policy, without blanks."""
    for name, resource in full()["Resources"].items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            assert len(dumped(resource["Properties"]["PolicyDocument"]).replace(" ", "")) < 6_144, name
        if resource["Type"] == "AWS::IAM::Role":
            assert len(dumped(resource["Properties"].get("Policies", [])).replace(" ", "")) < 10_240, name


def test_an_operation_makes_four_resources() -> None:
    made = {name for name in full()["Resources"] if name.startswith("Further0Function")}
    kinds = sorted(full()["Resources"][name]["Type"].rpartition("::")[2] for name in made)
    assert kinds == ["Alias", "DeploymentGroup", "Function", "Version"]


@pytest.mark.parametrize("operation", operations())
def test_a_person_writes_twelve_lines_for_an_operation(operation: str) -> None:
    """Each further route takes two more lines."""
    further = routes(operation).count("x-amazon-apigateway-integration") - 1
    assert len((block(operation) + routes(operation)).splitlines()) <= 12 + 2 * further
