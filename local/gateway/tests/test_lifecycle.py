"""Start, settings, command line and end of the gateway."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

from local.gateway.tests.gateway_process import DEADLINE, run

if TYPE_CHECKING:
    from local.gateway.tests.conftest import StartGateway
    from local.gateway.tests.gateway_process import GatewayProcess
    from local.gateway.tests.peer import Peer


def _children(gateway: GatewayProcess) -> list[psutil.Process]:
    return list(psutil.Process(gateway.process.pid).children(recursive=True))


def _workers(gateway: GatewayProcess) -> list[psutil.Process]:
    """Return the processes of functions, without the fork server."""
    return [process for process in _children(gateway) if process.ppid() != gateway.process.pid]


# --- end ---


@pytest.mark.long
@pytest.mark.parametrize("busy", [False, True])
def test_kill_leaves_no_worker(start_gateway: StartGateway, peer: Peer, *, busy: bool) -> None:
    """No worker is left after kill -9, even while handlers run."""
    gateway = start_gateway()
    with gateway.client() as client, ThreadPoolExecutor() as threads:
        for _ in range(3):
            assert client.get("/users/profile").status_code == 200
        request = threads.submit(client.get, f"/talk?port={peer.port}")
        conversation = peer.meet()
        if not busy:
            conversation.order()
            assert request.result().status_code == 200
        workers = _children(gateway)
        assert len(workers) >= 2
        gateway.stop(signal.SIGKILL)
        gone, alive = psutil.wait_procs(workers, timeout=DEADLINE)
    assert not alive
    assert len(gone) == len(workers)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_finish_before_the_end(start_gateway: StartGateway, peer: Peer, number: signal.Signals) -> None:
    """Running requests are answered, the workers end, and the exit status is 0."""
    gateway = start_gateway()
    with gateway.client() as client, ThreadPoolExecutor() as threads:
        request = threads.submit(client.get, f"/talk?port={peer.port}")
        conversation = peer.meet()
        workers = _children(gateway)
        gateway.process.send_signal(number)
        _wait_until_refused(gateway.http_port)
        conversation.order()
        assert request.result().status_code == 200
    assert gateway.process.wait(DEADLINE) == 0
    assert workers
    assert not psutil.wait_procs(workers, timeout=DEADLINE)[1]


@pytest.mark.long
def test_the_end_does_not_wait_for_ever(start_gateway: StartGateway, peer: Peer) -> None:
    """A handler that runs on is ended after 5 s."""
    gateway = start_gateway()
    with gateway.client() as client, ThreadPoolExecutor() as threads:
        request = threads.submit(client.get, f"/talk?port={peer.port}")
        conversation = peer.meet()
        workers = _children(gateway)
        assert gateway.stop() == 0
        assert request.exception() is not None or request.result().status_code >= 500
        assert conversation.was_left()
    assert not psutil.wait_procs(workers, timeout=DEADLINE)[1]


def _wait_until_refused(port: int) -> None:
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=DEADLINE).close()
        except ConnectionError:
            return


@pytest.mark.long
def test_idle_environments_are_stopped(start_gateway: StartGateway) -> None:
    """They stop after MG_LOCAL_IDLE_SECONDS. The next request starts another one."""
    gateway = start_gateway(MG_LOCAL_IDLE_SECONDS="1")
    with gateway.client() as client:
        assert client.get("/users/profile").status_code == 200
        workers = _workers(gateway)
        assert len(workers) == 1
        assert not psutil.wait_procs(workers, timeout=DEADLINE)[1]
        assert client.get("/users/profile").status_code == 200


@pytest.mark.long
def test_what_a_burst_leaves_is_stopped_sooner(start_gateway: StartGateway, peer: Peer) -> None:
    """After a burst, all idle environments but one stop before MG_LOCAL_IDLE_SECONDS."""
    gateway = start_gateway()
    with gateway.client() as client, ThreadPoolExecutor() as threads:
        requests = [threads.submit(client.get, f"/talk?port={peer.port}") for _ in range(3)]
        for conversation in [peer.meet() for _ in requests]:
            conversation.order()
        assert {request.result().status_code for request in requests} == {200}
        workers = _workers(gateway)
        assert len(workers) == 3
        gone: list[psutil.Process] = []
        while len(gone) < 2:
            ended, workers = psutil.wait_procs(workers, timeout=DEADLINE, callback=gone.append)
            assert ended
        assert len(_workers(gateway)) == 1


@pytest.mark.long
def test_an_environment_that_died_unseen_is_replaced(start_gateway: StartGateway) -> None:
    """Another environment serves the request that finds it dead."""
    gateway = start_gateway(MG_LOCAL_WORKERS="1")
    with gateway.client() as client:
        assert client.get("/users/profile").status_code == 200
        (worker,) = _workers(gateway)
        worker.kill()
        assert not psutil.wait_procs([worker], timeout=DEADLINE)[1]
        assert client.get("/users/profile").status_code == 200


# --- ports, addresses, TLS ---


@pytest.mark.long
@pytest.mark.parametrize("variable", ["MG_USERS_HTTP_PORT", "MG_LOCAL_LAMBDA_PORT"])
def test_taken_port(variable: str) -> None:
    """The gateway names the port and its variable."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = run("serve", **{variable: port})
    assert result.returncode == 1
    assert port in result.stderr
    assert variable in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.long
def test_localhost_is_both_families(start_gateway: StartGateway) -> None:
    """Clients that resolve localhost to either address find the API, on one port."""
    gateway = start_gateway(MG_USERS_HTTP_HOST="localhost")
    addresses = {address[4][0] for address in socket.getaddrinfo("localhost", 0)}
    for address in addresses:
        host = f"[{address}]" if ":" in str(address) else address
        response = httpx.get(f"http://{host}:{gateway.http_port}/users/profile", trust_env=False)
        assert response.json()["requestContext"]["http"]["sourceIp"] == address


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with cert.pem and key.pem for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", "key.pem", "-out", "cert.pem"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.long
@pytest.mark.parametrize("inline", [False, True])
def test_tls(start_gateway: StartGateway, certificate: Path, *, inline: bool) -> None:
    """Certificate and key may be paths, or PEM text."""
    files = [certificate / "cert.pem", certificate / "key.pem"]
    cert, key = [file.read_text() if inline else str(file) for file in files]
    gateway = start_gateway(MG_USERS_HTTP_SERVER_CERT=cert, MG_USERS_HTTP_SERVER_KEY=key)
    context = ssl.create_default_context(cafile=files[0])
    with gateway.client(verify=context) as client:
        event = client.get("/users/profile").json()
    assert event["headers"]["x-forwarded-proto"] == "https"
    # The Invoke API stays on plain HTTP: it is for this machine only.
    assert gateway.lambda_client().invoke(FunctionName="EchoFunction")["StatusCode"] == 200


@pytest.mark.long
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"MG_USERS_HTTP_SERVER_CERT": "/nowhere/cert.pem", "MG_USERS_HTTP_SERVER_KEY": "x"}, "/nowhere/cert.pem"),
        ({"MG_USERS_HTTP_SERVER_CERT": "-----BEGIN X", "MG_USERS_HTTP_SERVER_KEY": "-----BEGIN Y"}, "cannot be used"),
        ({"MG_USERS_HTTP_SERVER_CERT": "-----BEGIN X"}, "MG_USERS_HTTP_SERVER_KEY"),
        ({"MG_USERS_HTTP_PORT": "http"}, "MG_USERS_HTTP_PORT=http"),
        ({"MG_USERS_HTTP_SERVER_READ_TIMEOUT": "soon"}, "MG_USERS_HTTP_SERVER_READ_TIMEOUT=soon"),
        ({"RUNTIME": "docker"}, "RUNTIME=docker"),
        ({"MG_USERS_LOG_LEVEL": "loud"}, "MG_USERS_LOG_LEVEL=loud: debug, info, warn, error"),
        ({"RUNTIME": "rie", "MG_LOCAL_RIE": "/nowhere/rie"}, "/nowhere/rie"),
        ({"MG_USERS_HTTP_HOST": "192.0.2.1"}, "MG_USERS_HTTP_HOST"),
        ({"MG_LOCAL_PARAMETERS": "[]"}, "MG_LOCAL_PARAMETERS"),
    ],
)
def test_bad_settings(settings: dict[str, str], expected: str) -> None:
    """The gateway names the variable, without a traceback."""
    result = run("serve", **settings)
    assert result.returncode == 1
    assert expected in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.long
def test_settings_reach_functions(start_gateway: StartGateway) -> None:
    """MG_*, AWS_* and POWERTOOLS_* replace the template's. Functions see no other variables of the gateway."""
    gateway = start_gateway(
        MG_PROBE="operator", AWS_ENDPOINT_URL_SESV2="http://127.0.0.1:1", POWERTOOLS_LOG_LEVEL="DEBUG", STAGE="outside"
    )
    answer = gateway.lambda_client().invoke(FunctionName="DescribeFunction")
    seen = json.loads(answer["Payload"].read())["environment"]
    assert seen["MG_PROBE"] == "operator"
    assert seen["AWS_ENDPOINT_URL_SESV2"] == "http://127.0.0.1:1"
    assert seen["POWERTOOLS_LOG_LEVEL"] == "DEBUG"
    assert seen["STAGE"] == "dev"
    assert seen["AWS_SAM_LOCAL"] == "true"
    assert (seen["AWS_ACCESS_KEY_ID"], seen["AWS_REGION"]) == ("local", "eu-central-1")


@pytest.mark.long
def test_parameters(start_gateway: StartGateway) -> None:
    """MG_LOCAL_PARAMETERS overrides the template's parameters."""
    with start_gateway(MG_LOCAL_PARAMETERS='{"Stage": "prod"}').client() as client:
        assert client.get("/production").status_code == 200


# --- invoke ---


def test_invoke(tmp_path: Path) -> None:
    """stdout has the answer only. stderr has the output of the function."""
    event = tmp_path / "event.json"
    event.write_text('{"a": 1}')
    result = run("invoke", "DescribeFunction", "-e", str(event))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["event"] == {"a": 1}
    assert "describe was here" in result.stderr


@pytest.mark.long
def test_invoke_from_stdin() -> None:
    """`-e -` reads stdin. A FunctionName may replace the logical id."""
    result = run("invoke", "described", "-e", "-", stdin='{"b": 2}')
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["event"] == {"b": 2}


@pytest.mark.long
def test_invoke_of_a_function_that_fails() -> None:
    """The exit status is 1, and stdout has the error object."""
    result = run("invoke", "RaisesFunction")
    assert result.returncode == 1
    assert json.loads(result.stdout)["errorType"] == "ValueError"


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["Nobody"], "no function Nobody"), (["EchoFunction", "-e", "/nowhere.json"], "/nowhere.json")],
)
def test_invoke_of_nothing(arguments: list[str], expected: str) -> None:
    """The gateway names the missing part."""
    result = run("invoke", *arguments)
    assert result.returncode == 1
    assert expected in result.stderr
    assert result.stdout == ""


@pytest.mark.long
def test_missing_template() -> None:
    """The gateway names the missing part."""
    result = run("serve", template="nowhere.yaml")
    assert result.returncode == 1
    assert "nowhere.yaml" in result.stderr
    assert "Traceback" not in result.stderr
