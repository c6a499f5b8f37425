"""Workers are forks of one process, which has imported the shared modules. No function notices that process."""

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
    seen: dict[str, Any] = json.loads(answer["Payload"].read())
    return seen


def _fork_server(gateway: GatewayProcess) -> psutil.Process:
    (process,) = psutil.Process(gateway.process.pid).children()
    return process


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the fixtures whose files a test may change."""
    return Path(shutil.copytree(FIXTURES, tmp_path / "project"))


def _rewrite(file: Path, text: str) -> None:
    """Write a file, and change its time even if this test is faster than the clock of the file system."""
    before = file.stat().st_mtime_ns
    file.write_text(text)
    os.utime(file, ns=(before + 1_000_000_000, before + 1_000_000_000))


def test_modules_are_imported_before_the_fork(gateway: GatewayProcess) -> None:
    """The fork server imports the modules of shared layers for all workers, also late imports in functions."""
    seen = _described(gateway)
    fork_server = _fork_server(gateway)
    assert seen["imported_by"] == [fork_server.pid, fork_server.pid]
    assert seen["pid"] != fork_server.pid
    # A worker would have no copy of a thread, and a lock of that thread would stay locked.
    assert fork_server.num_threads() == 1


def test_a_worker_is_a_process_of_its_function(gateway: GatewayProcess, http: Any) -> None:
    """It has its own variables, folder, path, session and name, and nothing of a function that ran before."""
    assert http.get("/users/profile").status_code == 200
    seen = _described(gateway)
    folder = str(FIXTURES / "functions" / "probe")
    own = {"_HANDLER": "app.describe", "AWS_LAMBDA_FUNCTION_NAME": "DescribeFunction", "OWN": "one"}
    assert own.items() <= seen["environment"].items()
    assert seen["cwd"] == seen["environment"]["LAMBDA_TASK_ROOT"] == folder
    assert seen["path"][:2] == [folder, str(LAYER.parent)]
    assert seen["path"] == list(dict.fromkeys(seen["path"]))
    assert seen["session"] == seen["pid"]
    assert psutil.Process(seen["pid"]).name() == "DescribeFunctio"
    assert seen["modules"] == []


def test_a_worker_has_no_descriptor_of_the_fork_server(gateway: GatewayProcess) -> None:
    """It has no socket but its own. Otherwise sockets of other workers would stay open while it runs."""
    seen = _described(gateway)
    descriptors = Path(f"/proc/{seen['pid']}/fd")
    sockets = [link for each in descriptors.iterdir() if (link := str(each.readlink())).startswith("socket:")]
    assert len(sockets) == 1


@pytest.mark.long
def test_a_killed_fork_server_is_replaced(start_gateway: StartGateway, peer: Peer) -> None:
    """Its workers end with it, also busy ones. Another fork server serves the next request."""
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
    """Environments that start after the change have the new module. Older ones run on with the old one."""
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
        # No process from before the change runs any more.
        assert not psutil.wait_procs([first, before], timeout=DEADLINE)[1]
        assert client.get("/users/profile").status_code == 200


@pytest.mark.long
def test_a_broken_shared_module_is_its_functions_fault(start_gateway: StartGateway, project: Path) -> None:
    """A function that imports it reports the error. After a repair it runs, without a restart of the gateway."""
    layer = project / "layer" / "python" / "probe_layer.py"
    _rewrite(layer, "raise RuntimeError('not today')\n")
    gateway = start_gateway(template=str(project / "template.yaml"))
    answer = gateway.lambda_client().invoke(FunctionName="DescribeFunction")
    error = json.loads(answer["Payload"].read())
    assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "not today")
    _rewrite(layer, LAYER.read_text())
    assert _described(gateway)["layer"] == "from the layer"
