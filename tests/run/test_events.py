"""Every function works in the Lambda Runtime Interface Emulator, with its event of events/."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.gateway.environments.emulator import find_emulator
from local.parts.gateway import Gateway
from local.parts.launch import ROOT
from local.parts.postgres import PostgresServer
from local.sam_local.committed_events import function_of

EMULATOR = find_emulator()

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(EMULATOR is None, reason="no emulator: `make test-all` installs it"),
]

FUNCTIONS = sorted(path.parent.name for path in (ROOT / "functions").glob("*/app.py"))


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, environment: dict[str, str], template_database: str, parts_folder: Path
) -> Iterator[Gateway]:
    postgres.create_database("rie", template=template_database)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    own = {
        "RUNTIME": "rie",
        "MG_LOCAL_RIE": str(EMULATOR),
        "MG_LOCAL_WORKERS": "1",
        "MG_USERS_DB_NAME": "rie",
        "MG_LOCAL_SCHEDULES": "off",
    }
    with Gateway(environment=inherited | environment | own, log=parts_folder / "rie.log") as started:
        yield started


@pytest.mark.parametrize("function", FUNCTIONS)
def test_function_answers_its_event(gateway: Gateway, function: str) -> None:
    event = json.loads((ROOT / "events" / f"{function}.json").read_text())
    if function == "check_version":  # its event names a deployment of CodeDeploy that does not exist here
        event = {"check": "readiness"}
    url = f"http://127.0.0.1:{gateway.lambda_port}/2015-03-31/functions/{function_of(function)}/invocations"
    answer = httpx.post(url, json=event, timeout=120, trust_env=False)
    assert answer.status_code == 200
    assert "x-amz-function-error" not in answer.headers, answer.text
    body = answer.json()
    if "requestContext" in event:
        assert body["statusCode"] in {200, 201, 400, 401, 409}, body
        assert body["headers"]["X-Request-Id"]
