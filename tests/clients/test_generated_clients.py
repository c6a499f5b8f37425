"""Clients that openapi-python-client and openapi-typescript generate from openapi.json work."""

import importlib
import json
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.docs.document import TARGET
from tests.clients.generated import compiled, node, python_client, typescript_project
from tests.service import PASSWORD, ROOT
from tests.system import System

PROGRAM = ROOT / "tests" / "clients" / "generated.ts"
MISSPELT = [
    ("{ identity: person.email", "{ identiy: person.email"),
    ("profile.data.metadata?.locale", "profile.data.meta?.locale"),
    ('=== "email_taken"', '=== "email_token"'),
    ("last_name:", "surname:"),
    ("detail.message", "detail.text"),
]
METHODS = {"get", "put", "post", "patch", "delete"}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def python_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("python-client")
    python_client(folder)
    sys.path.insert(0, str(folder))
    yield folder / "users_client"
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def typescript_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("typescript-client")
    typescript_project(folder)
    return folder


def snake_case(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def documented() -> dict[str, set[str]]:
    """Return the statuses of each operation, by the name of its module in the client."""
    paths = json.loads(TARGET.read_text())["paths"].values()
    operations = [path[method] for path in paths for method in METHODS & path.keys()]
    return {snake_case(operation["operationId"]): set(operation["responses"]) for operation in operations}


def test_the_python_client_knows_every_operation_and_status(python_package: Path) -> None:
    modules = {module.stem: module.read_text() for module in python_package.glob("api/*/*.py")}
    modules.pop("__init__")
    known = {name: set(re.findall(r"response\.status_code == (\d+)", text)) for name, text in modules.items()}
    assert known == documented()


def test_every_module_of_the_python_client_can_be_imported(python_package: Path) -> None:
    for module in python_package.rglob("*.py"):
        importlib.import_module(".".join(module.relative_to(python_package.parent).with_suffix("").parts))


def test_the_python_client_at_work(python_package: Path, system: System) -> None:
    assert python_package.exists()
    models = importlib.import_module("users_client.models")
    name = f"g{uuid.uuid4().hex[:12]}"
    email, metadata = f"{name}@example.com", {"locale": "de", "ships": [1, 2]}
    credentials = models.RegistrationCredentials(username=name, secret=PASSWORD)
    person = models.Registration(
        "Grace", "Hopper", email, credentials, metadata=models.MetadataType0.from_dict(metadata)
    )
    with client(system) as anybody:
        user = call("accounts", "register_user", anybody, body=person)
        assert isinstance(user, models.User)
        tokens = call("sessions", "issue_token", anybody, body=models.Login(identity=email, secret=PASSWORD))
        assert isinstance(tokens, models.Tokens)
        again = call("sessions", "issue_token", anybody, body=models.SdkLogin(username=name, password=PASSWORD))
        assert isinstance(again, models.Tokens)
        refused = call("accounts", "register_user", anybody, body=models.Registration("", "H", "nobody", credentials))
        assert isinstance(refused, models.RegisterUserResponse400)
        assert [(each.field, each.error) for each in refused.details] == [
            ("first_name", models.ErrorCode.MISSING_FIRST_NAME),
            ("email", models.ErrorCode.INVALID_EMAIL),
        ]
        taken = call("accounts", "register_user", anybody, body=person)
        assert isinstance(taken, models.RegisterUserResponse409)
        assert taken.error in set(models.RegisterUserResponse409Error)
    with client(system, tokens.access_token) as signed_in:
        seen = call("accounts", "view_profile", signed_in)
        assert isinstance(seen, models.User)
        assert (seen.id, seen.metadata.to_dict()) == (user.id, metadata)
    with client(system, "a.b.c") as stranger:
        unknown = call("accounts", "view_profile", stranger)
        assert isinstance(unknown, models.ViewProfileResponse401)
        assert unknown.error is models.ViewProfileResponse401Error.UNAUTHENTICATED
        assert unknown.message


def client(system: System, token: str = "") -> Any:
    module = importlib.import_module("users_client.client")
    options = {"base_url": system.url, "timeout": httpx.Timeout(30), "httpx_args": {"trust_env": False}}
    return module.AuthenticatedClient(token=token, **options) if token else module.Client(**options)


def call(tag: str, operation: str, by: Any, **arguments: Any) -> Any:
    """Call an operation of the client. Return its answer: a model of its status."""
    return importlib.import_module(f"users_client.api.{tag}.{operation}").sync(client=by, **arguments)


def test_the_typescript_client_at_work(typescript_folder: Path, system: System) -> None:
    compiler = compiled(typescript_folder, {"program.ts": PROGRAM.read_text()})
    assert (compiler.returncode, compiler.stdout) == (0, "")
    done = node("program.js", system.url, f"g{uuid.uuid4().hex[:12]}", PASSWORD, cwd=typescript_folder)
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout) == {
        "id": True,
        "locale": "de",
        "stranger": [401, "missing_token", "missing or invalid bearer user token"],
        "again": [409, True],
        "refused": [
            400,
            {"first_name": "missing first name", "email": "email must be one address, as ada@example.com"},
        ],
    }


def test_misspelt_names_do_not_compile(typescript_folder: Path) -> None:
    source = PROGRAM.read_text()
    assert all(source.count(right) == 1 for right, _ in MISSPELT)
    programs = {f"wrong{number}.ts": source.replace(*each) for number, each in enumerate(MISSPELT)}
    compiler = compiled(typescript_folder, programs)
    assert compiler.returncode != 0
    assert set(re.findall(r"^(wrong\d\.ts)\(\d+,\d+\): error TS\d+", compiler.stdout, re.MULTILINE)) == set(programs)
