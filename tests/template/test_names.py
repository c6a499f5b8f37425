"""An operation has the same name everywhere (architecture.md)."""

import ast
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.gateway.stack import Route, Stack
from local.gateway.template import read_stack

ROOT = Path(__file__).parents[2]
METHODS = {"get", "put", "post", "patch", "delete", "head", "options", "trace"}
INTERNAL = {
    *("bootstrap", "check_version", "deliver_outbox"),
    *("record_mail_feedback", "report_telemetry", "sweep_accounts"),
}
OPERATIONS = sorted(folder.parent.name for folder in ROOT.glob("functions/*/app.py"))
API_OPERATIONS = [name for name in OPERATIONS if name not in INTERNAL]


@cache
def stack() -> Stack:
    return read_stack(ROOT / "template.yaml", region="eu-central-1")


@cache
def document() -> Any:
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


def logical_id(operation: str) -> str:
    return "".join(word.capitalize() for word in operation.split("_")) + "Function"


def camel_case(operation: str) -> str:
    head, *tail = operation.split("_")
    return head + "".join(word.capitalize() for word in tail)


def routes(operation: str) -> list[Route]:
    return [route for route in stack().routes if route.function == logical_id(operation)]


def operation_ids() -> dict[str, str]:
    """Return the operationId of each `METHOD /path` of openapi.yaml."""
    return {
        f"{method.upper()} {path}": item[method]["operationId"]
        for path, item in document()["paths"].items()
        for method in METHODS & item.keys()
    }


def event(operation: str) -> Any:
    return json.loads((ROOT / "events" / f"{operation}.json").read_text())


def test_every_folder_is_a_function_of_the_template_and_the_other_way_round() -> None:
    folders = {logical_id(name): ROOT / "functions" / name for name in OPERATIONS}
    assert {name: function.code_dir for name, function in stack().functions.items()} == folders


def test_every_event_is_of_a_function_and_the_other_way_round() -> None:
    assert sorted(file.stem for file in ROOT.glob("events/*")) == OPERATIONS


def test_every_route_is_an_operation_of_the_document_and_the_other_way_round() -> None:
    assert {route.key for route in stack().routes} == operation_ids().keys()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_a_test_of_its_name(operation: str) -> None:
    assert list(ROOT.glob(f"tests/*/test_{operation}.py")), f"no tests/*/test_{operation}.py"


@pytest.mark.parametrize("operation", API_OPERATIONS)
def test_the_handler_is_declared_under_its_name(operation: str) -> None:
    tree = ast.parse((ROOT / "functions" / operation / "app.py").read_text())
    (handler,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "lambda_handler")
    (decorator,) = (
        node for node in handler.decorator_list if isinstance(node, ast.Call) and ast.unparse(node.func) == "operation"
    )
    assert ast.literal_eval(decorator.args[0]) == operation


@pytest.mark.parametrize("operation", API_OPERATIONS)
def test_the_documents_names_are_the_operations_and_differ_by_what_a_method_adds(operation: str) -> None:
    keys = {route.key for route in routes(operation)}
    assert keys, "the operation has no route"
    names = [operation_ids()[key] for key in keys]
    assert camel_case(operation) in names
    assert all(name.startswith(camel_case(operation)) for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", API_OPERATIONS)
def test_the_event_is_a_request_to_its_route(operation: str) -> None:
    sent = event(operation)
    http = sent["requestContext"]["http"]
    matching = [route for route in routes(operation) if route.key == sent["routeKey"]]
    assert [route.method for route in matching] == [http["method"]]
    assert sent["requestContext"]["routeKey"] == sent["routeKey"]
    assert sent["rawPath"] == http["path"] == matching[0].path.format(**sent.get("pathParameters", {}))


@pytest.mark.parametrize("operation", sorted(INTERNAL & set(OPERATIONS)))
def test_no_route_leads_to_an_internal_function(operation: str) -> None:
    assert routes(operation) == []
