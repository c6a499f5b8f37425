"""Where workers come from: one process that has imported what functions share, and is nothing that a function sees."""

from __future__ import annotations

import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil  # type: ignore[import-untyped, unused-ignore]
import pytest

from local.gateway.tests.gateway_process import DEADLINE, FIXTURES

if TYPE_CHECKING:
    from local.gateway.tests.conftest import StartGateway
    from local.gateway.tests.gateway_process import GatewayProcess
    from local.gateway.tests.peer import Peer

LAYER = FIXTURES / "layer" / "python" / "probe_layer.py"


def _described(gateway: GatewayProcess) -> dict[str, Any]:
    answer = gateway.lambda_client().invoke(FunctionName="DescribeFunction")
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    return told


def _fork_server(gateway: GatewayProcess) -> psutil.Process:
    (process,) = psutil.Process(gateway.process.pid).children()
    return process


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the fixtures whose files a test may change."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "project"))


def _rewrite(file: Path, text: str) -> None:
    """Write a file so that its time of change is another, however fast this is."""
    before = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(before + 1_000_000_000, before + 1_000_000_000))


def test_modules_are_imported_before_the_fork(gateway: GatewayProcess) -> None:
    """Those of the layers that all functions have, the late ones too; by the fork server, for every worker."""
    told = _described(gateway)
    fork_server = _fork_server(gateway)
    assert told["imported_by"] == [fork_server.pid, fork_server.pid]
    assert told["pid"] != fork_server.pid
    # A thread would not be there in a worker, and what it held would stay locked.
    assert fork_server.num_threads() == 1


def test_a_worker_is_a_process_of_its_function(gateway: GatewayProcess, http: Any) -> None:
    """Its own variables, folder, path, session and name; nothing of the function that ran before it."""
    assert http.get("/users/profile").status_code == 200
    told = _described(gateway)
    folder = str(FIXTURES / "functions" / "probe")
    own = {"_HANDLER": "app.describe", "AWS_LAMBDA_FUNCTION_NAME": "DescribeFunction", "OWN": "one"}
    assert own.items() <= told["environment"].items()
    assert told["cwd"] == told["environment"]["LAMBDA_TASK_ROOT"] == folder
    assert told["path"][:2] == [folder, str(LAYER.parent)]
    assert told["path"] == list(dict.fromkeys(told["path"]))
    assert told["session"] == told["pid"]
    assert psutil.Process(told["pid"]).name() == "DescribeFunctio"
    assert told["modules"] == []


def test_a_worker_has_no_descriptor_of_the_fork_server(gateway: GatewayProcess) -> None:
    """Only its own socket beside stdin, stdout and stderr: else it would keep others' from ending."""
    told = _described(gateway)
    descriptors = Path(f"/proc/{told['pid']}/fd")
    sockets = [link for each in descriptors.iterdir() if (link := str(each.readlink())).startswith("socket:")]
    assert len(sockets) == 1


@pytest.mark.long
def test_a_killed_fork_server_is_replaced(start_gateway: StartGateway, peer: Peer) -> None:
    """Its workers end with it, whatever they do; the next request is served by those of another."""
    gateway = start_gateway()
    with gateway.client() as client, ThreadPoolExecutor() as threads:
        running = threads.submit(client.get, f"/talk?port={peer.port}")
        conversation = peer.meet()
        fork_server = _fork_server(gateway)
        workers = fork_server.children()
        fork_server.send_signal(signal.SIGKILL)
        assert running.result().status_code == 500
        assert conversation.was_left()
        assert not psutil.wait_procs(workers, timeout=DEADLINE)[1]
        assert client.get("/users/profile").status_code == 200
        assert _fork_server(gateway).pid != fork_server.pid
    workers = psutil.Process(gateway.process.pid).children(recursive=True)
    assert gateway.stop() == 0
    assert not psutil.wait_procs(workers, timeout=DEADLINE)[1]


@pytest.mark.long
def test_a_changed_shared_module_is_seen(start_gateway: StartGateway, project: Path) -> None:
    """By environments that start after the change; those of before go on, as they did."""
    layer = project / "layer" / "python" / "probe_layer.py"
    gateway = start_gateway(template=str(project / "template.yaml"))
    with gateway.client() as client:
        assert client.get("/users/profile").status_code == 200
        first = _fork_server(gateway)
        (before,) = first.children()
        _rewrite(layer, LAYER.read_text().replace("from the layer", "from the changed layer"))
        assert _described(gateway)["layer"] == "from the changed layer"
        assert before.is_running()
        before.kill()
        # Nothing runs any more of what was forked before the change.
        assert not psutil.wait_procs([first, before], timeout=DEADLINE)[1]
        assert client.get("/users/profile").status_code == 200


@pytest.mark.long
def test_a_broken_shared_module_is_its_functions_fault(start_gateway: StartGateway, project: Path) -> None:
    """Functions that import it say why they cannot; once it is mended they run, without a new start."""
    layer = project / "layer" / "python" / "probe_layer.py"
    _rewrite(layer, "raise RuntimeError('not today')\n")
    gateway = start_gateway(template=str(project / "template.yaml"))
    answer = gateway.lambda_client().invoke(FunctionName="DescribeFunction")
    told = json.loads(answer["Payload"].read())
    assert (told["errorType"], told["errorMessage"]) == ("RuntimeError", "not today")
    _rewrite(layer, LAYER.read_text())
    assert _described(gateway)["layer"] == "from the layer"
