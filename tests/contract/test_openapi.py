"""openapi.yaml agrees with the code, and GET /openapi.json serves it."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import pytest
import yaml

from local.docs.document import TARGET, as_json
from tests.contract.error_codes import used_codes
from tests.service import ROOT, Service


@cache
def document() -> Any:
    return yaml.safe_load((ROOT / "openapi.yaml").read_text())


def documented_codes() -> list[str]:
    codes: list[str] = document()["components"]["schemas"]["ErrorCode"]["enum"]
    return codes


def test_every_code_of_an_error_is_documented() -> None:
    undocumented = {
        code for code in used_codes() if not any(re.fullmatch(code, documented) for documented in documented_codes())
    }
    assert not undocumented


def test_every_documented_code_is_one_of_an_error() -> None:
    unused = {code for code in documented_codes() if not any(re.fullmatch(used, code) for used in used_codes())}
    assert not unused


def test_every_documented_code_is_one_of_an_operations_answers() -> None:
    shown = {
        code
        for schema in parts(document()["paths"] | document()["components"])
        if isinstance(schema, dict) and "allOf" in schema
        for part in schema["allOf"]
        for code in part.get("properties", {}).get("error", {}).get("enum", [])
    }
    assert shown == set(documented_codes())


def parts(value: Any) -> Iterator[Any]:
    """Yield all values of a document at any depth."""
    yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(item)


def resolved(value: Any) -> Any:
    while isinstance(value, dict) and "$ref" in value:
        target = document()
        for name in value["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        value = target
    return value


def examples() -> Iterator[Any]:
    """Yield every example of a body with its schema."""
    for part in parts(document()):
        if isinstance(part, dict) and "schema" in part:
            for name, example in part.get("examples", {}).items():
                yield pytest.param(part["schema"], resolved(example)["value"], id=name)


@pytest.mark.parametrize(("schema", "example"), list(examples()))
def test_an_example_is_of_its_schema(schema: Any, example: Any) -> None:
    whole = {"components": document()["components"], **schema}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(example)


def test_every_operation_says_what_it_is_and_whatever_it_answers() -> None:
    for path in document()["paths"].values():
        for method, operation in path.items():
            if method == "parameters":
                continue
            assert operation["summary"]
            assert {"500", "503"} <= operation["responses"].keys()
            for status, response in operation["responses"].items():
                assert resolved(response)["description"]
                assert status < "400" or resolved(response)["content"], "an error has a body"


def test_the_committed_json_is_the_document() -> None:
    assert TARGET.read_text() == as_json(), "openapi.yaml was changed: run python -m local.docs"


def test_the_document_is_served(service: Service) -> None:
    answer = service.call("openapi")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    assert json.loads(answer.text) == document()


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}', "*"])
def test_a_copy_that_is_current_is_not_sent_again(service: Service, known: str) -> None:
    tag = service.call("openapi").headers["ETag"]
    answer = service.call("openapi", headers={"if-none-match": known.format(tag=tag)})
    assert (answer.status, answer.text, answer.headers["ETag"]) == (304, "", tag)


def test_a_copy_that_is_old_is_replaced(service: Service) -> None:
    assert service.call("openapi", headers={"if-none-match": '"other"'}).status == 200
