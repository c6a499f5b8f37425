"""`sam local` beside `make run`, in containers, by the commands of docs/sam-local.md."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx
import pytest
from botocore.config import Config

from local import install
from local.parts.launch import ROOT
from local.sam_local import engine
from local.sam_local.committed_events import function_of
from local.sam_local.place import Place
from local.serving.sockets import free_port
from tests.local.processes import eventually
from tests.local.test_supervisor import running

Answer = TypeVar("Answer")
SAM = install.SAM.place / "bin" / "sam"
OPERATIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
_CONTAINER_SECONDS = 300  # SAM builds an image of the layers at a function's first call


def missing() -> str:
    """Return which of engine, image and SAM is missing, or an empty text."""
    if not SAM.exists():
        return "no SAM here: `make build` installs it"
    try:
        engine.find_bridge()
        found = engine.has_image()
    except engine.EngineUnusable as problem:
        return f"no container engine here ({problem}): start Docker"
    return "" if found else f"no image {engine.image_name()}: `docker pull` it, or `make sam-image`"


WHY_NOT = missing()
pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Yield the place of a `make run` with `make sam-local` beside it."""
    with tempfile.TemporaryDirectory(prefix="mg-sam-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL's user can enter it
        with running(Path(folder)) as run:
            run.read_until("Ctrl-C stops everything")
            place = Place.of({"MG_LOCAL_DIR": folder})
            with ready(place):
                yield place


@contextmanager
def ready(place: Place) -> Iterator[None]:
    """Run `make sam-local`. At the end it must remove its files."""
    command = [sys.executable, "-m", "local.sam_local", "serve"]
    environment = {**os.environ, "MG_LOCAL_DIR": str(place.folder.parent)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as serving:
        try:
            assert serving.stdout is not None
            ready_line = next((line for line in serving.stdout if "Ctrl-C ends this" in line), "")
            assert ready_line, "it ended before it was ready"
            yield
        finally:
            serving.send_signal(signal.SIGINT)
            code = serving.wait(30)
    assert code == 0
    assert not {place.template, place.variables, place.events} & set(place.folder.iterdir())


def sam_local(place: Place, *arguments: str | Path) -> list[str | Path]:
    """Return a command of `sam local` with the files of `place`, which samconfig.toml expects in `.local`."""
    named = ["--template", place.template, "--env-vars", place.variables, "--config-file", ROOT / "samconfig.toml"]
    return [SAM, "local", *arguments, *named]


def shell() -> dict[str, str]:
    """Return the variables of a shell that has sourced `.local/environment`, and has no AWS credentials."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    quiet = {"SAM_CLI_TELEMETRY": "0", "AWS_EC2_METADATA_DISABLED": "true"}
    return inherited | quiet | {"MG_USERS_DB_HOST": "/nowhere", "MG_AUTH_GRPC_URL": "127.0.0.1:1"}


@contextmanager
def serving(place: Place, command: str) -> Iterator[str]:
    """Run `sam local start-api` or `start-lambda`. Yield its address."""
    port = free_port()
    log = place.folder / f"{command}.log"
    arguments = sam_local(place, command, "--port", str(port))
    with log.open("w") as output, subprocess.Popen(arguments, cwd=ROOT, env=shell(), stderr=output) as process:
        try:
            eventually(lambda: f"Running on http://127.0.0.1:{port}" in log.read_text(), seconds=120)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def patiently(call: Callable[[], Answer], status: Callable[[Answer], int]) -> Answer:
    """Repeat a call that is answered with 503. Return the last answer.

    On a busy machine a function that starts may time out while it waits for Auth, and then answers 503. If a function
    cannot reach Auth or the database at all, the last answer is also a 503.
    """
    for _ in range(4):
        answer = call()
        if status(answer) != 503:
            return answer
    return call()


def test_a_function_is_invoked_by_the_documented_command(place: Place) -> None:
    command = sam_local(place, "invoke", "HealthFunction", "--event", ROOT / "events" / "health.json")

    def invoke() -> dict[str, Any]:
        done = subprocess.run(
            command, cwd=ROOT, env=shell(), capture_output=True, text=True, check=True, timeout=_CONTAINER_SECONDS
        )
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer

    answer = patiently(invoke, lambda answer: int(answer["statusCode"]))
    assert answer["statusCode"] == 200, answer
    assert {"database:responseTime", "auth:responseTime"} <= set(json.loads(answer["body"])["checks"])


@pytest.fixture(scope="module")
def client(place: Place) -> Iterator[Any]:
    """Yield an SDK's client of `sam local start-lambda`."""
    with serving(place, "start-lambda") as url:
        yield boto3.client(
            "lambda", endpoint_url=url, region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x",
            config=Config(read_timeout=_CONTAINER_SECONDS, retries={"max_attempts": 0}))  # fmt: skip


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_function_answers_its_event(client: Any, place: Place, operation: str) -> None:
    event = (place.events / f"{operation}.json").read_text()

    def invoke() -> dict[str, Any]:
        answered = client.invoke(FunctionName=function_of(operation), Payload=event)
        answer: dict[str, Any] = json.loads(answered["Payload"].read())
        return answer

    answer = patiently(invoke, lambda answer: int(answer.get("statusCode", 200)))
    assert "errorMessage" not in answer, answer
    if "requestContext" in json.loads(event):
        assert answer["statusCode"] < 300, answer


def status(answer: httpx.Response) -> int:
    return answer.status_code


def test_the_api_takes_headers_as_clients_write_them(place: Place) -> None:
    login = json.loads(json.loads((place.events / "issue_token.json").read_text())["body"])
    with serving(place, "start-api") as url, httpx.Client(timeout=_CONTAINER_SECONDS, trust_env=False) as client:
        as_json = {"Content-Type": "application/json"}
        issued = patiently(lambda: client.post(f"{url}/users/tokens/issue", json=login, headers=as_json), status)
        assert issued.status_code == 201, issued.text
        bearer = {"Authorization": f"Bearer {issued.json()['access_token']}", "X-Request-Id": "my"}
        profile = patiently(lambda: client.get(f"{url}/users/profile", headers=bearer), status)
    assert profile.status_code == 200, profile.text
    assert profile.json()["email"] == login["identity"]
    assert profile.headers["X-Request-Id"] == "my"
