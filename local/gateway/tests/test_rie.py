"""The same answers from functions in the Lambda Runtime Interface Emulator (RUNTIME=rie)."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

from local.gateway.environments.emulator import find_emulator
from local.gateway.tests.gateway_process import DEADLINE, GatewayProcess, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.gateway.tests.conftest import StartGateway
    from local.gateway.tests.peer import Peer

_EMULATOR = find_emulator(os.environ.get("MG_LOCAL_RIE", ""))

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        _EMULATOR is None,
        reason="no Runtime Interface Emulator: MG_LOCAL_RIE names none and .local/tools/sam has none",
    ),
]

_SETTINGS = {"RUNTIME": "rie", "MG_LOCAL_RIE": str(_EMULATOR), "MG_LOCAL_WORKERS": "2"}


@pytest.fixture(scope="module")
def rie_gateway() -> Iterator[GatewayProcess]:
    """A gateway whose functions run in emulators."""
    with closing(GatewayProcess(**_SETTINGS)) as started:
        yield started


def test_event_and_environment(rie_gateway: GatewayProcess) -> None:
    """The function sees the same as in a worker process."""
    answer = rie_gateway.lambda_client().invoke(FunctionName="DescribeFunction", Payload='{"a": "é"}')
    seen = json.loads(answer["Payload"].read())
    assert seen["event"] == {"a": "é"}
    assert seen["layer"] == "from the layer"
    assert seen["function_name"] == "DescribeFunction"
    assert seen["cwd"] == seen["environment"]["LAMBDA_TASK_ROOT"]
    assert (seen["environment"]["MG_PROBE"], seen["memory_limit_in_mb"]) == ("template", "256")


def test_http(rie_gateway: GatewayProcess) -> None:
    """A request reaches the function as an event."""
    with rie_gateway.client() as client:
        event = client.get("/users/a%2Fb?x=1&x=2").json()
    assert event["pathParameters"] == {"id": "a/b"}
    assert event["queryStringParameters"] == {"x": "1,2"}


@pytest.mark.parametrize("path", ["/raises", "/hangs", "/unloadable", "/unserializable", "/large"])
def test_function_error(rie_gateway: GatewayProcess, path: str) -> None:
    """Every kind of failure becomes the same 500, and the next request is served."""
    with rie_gateway.client() as client:
        response = client.get(path)
        assert (response.status_code, response.content) == (500, b'{"message":"Internal Server Error"}')
        assert client.get("/users/profile").status_code == 200


@pytest.mark.parametrize(
    ("name", "error_type"), [("RaisesFunction", "ValueError"), ("HangsFunction", "Sandbox.Timedout")]
)
def test_errors_in_answers_of_invoke(rie_gateway: GatewayProcess, name: str, error_type: str) -> None:
    """The answer has X-Amz-Function-Error, which the emulator does not send."""
    answer = rie_gateway.lambda_client().invoke(FunctionName=name)
    assert answer["FunctionError"] == "Unhandled"
    assert json.loads(answer["Payload"].read())["errorType"] == error_type


def test_crash(rie_gateway: GatewayProcess, peer: Peer) -> None:
    """Only one request fails."""
    with rie_gateway.client() as client, ThreadPoolExecutor() as threads:
        crashing = threads.submit(client.get, f"/talk?port={peer.port}")
        peer.meet().order("exit")
        assert crashing.result().status_code == 500
        again = threads.submit(client.get, f"/talk?port={peer.port}")
        peer.meet().order()
        assert again.result().status_code == 200


def test_many_clients(rie_gateway: GatewayProcess) -> None:
    """No emulator gets two invokes at once, which would crash it."""

    def ask(number: int) -> int:
        with rie_gateway.client() as client:
            return {client.get(f"/users/{number}-{turn}").status_code for turn in range(10)}.pop()

    with ThreadPoolExecutor(32) as threads:
        assert set(threads.map(ask, range(32))) == {200}


def test_invoke_command() -> None:
    """With RUNTIME=rie too, stdout has the answer of `invoke` only."""
    result = run("invoke", "DescribeFunction", **_SETTINGS)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["event"] == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("busy", [False, True])
def test_nothing_is_left(start_gateway: StartGateway, peer: Peer, number: signal.Signals, *, busy: bool) -> None:
    """No emulator and no child of one is left, however the gateway ends."""
    gateway = start_gateway(**_SETTINGS)
    with gateway.client() as client, ThreadPoolExecutor() as threads:
        request = threads.submit(client.get, f"/talk?port={peer.port}")
        conversation = peer.meet()
        if not busy:
            conversation.order()
            assert request.result().status_code == 200
        processes = psutil.Process(gateway.process.pid).children(recursive=True)
        assert len(processes) == 2
        gateway.stop(number)
        assert not psutil.wait_procs(processes, timeout=DEADLINE)[1]
