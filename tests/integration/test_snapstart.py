"""SnapStart: the hooks that Lambda's runtime client runs around a snapshot, on the real functions."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import snapshot_restore_py
from awslambdaric.lambda_runtime_hooks_runner import run_after_restore, run_before_snapshot

from tests.service import ROOT, Service
from users import settings, snapstart
from users.peers import auth, jwt, spicedb
from users.repository import database

# One function in its own process: init, the snapshot, and two execution environments resumed from it. A fork copies a
# process like a snapshot does. Each environment prints its random number, its answer and the modules that it loaded
# late. These lines begin with a space, unlike the function's own lines.
RESUMED_TWICE = """
import json, os, random, sys
import psutil
import app
from awslambdaric.lambda_runtime_hooks_runner import run_after_restore, run_before_snapshot

run_before_snapshot()
this = psutil.Process()
print("", json.dumps({"open": [list(c.laddr) for c in this.net_connections("all")]}), flush=True)
event = json.load(open(os.environ["EVENT"]))
for _ in range(2):
    if child := os.fork():
        assert os.waitpid(child, 0)[1] == 0
        continue
    run_after_restore()
    loaded = set(sys.modules)
    answer = app.lambda_handler(event, None)
    print("", json.dumps({"status": answer["statusCode"], "body": json.loads(answer["body"]), "drawn": random.random(),
                          "late": sorted(set(sys.modules) - loaded)}), flush=True)
    os._exit(0)
"""


@pytest.fixture
def snapstart_hooks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Register the hooks of one function as its init does."""
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    snapstart.prepare()
    yield
    snapshot_restore_py.get_before_snapshot().clear()
    snapshot_restore_py.get_after_restore().clear()


def resumed_twice(operation: str, environment: dict[str, str], event: Path) -> list[dict[str, object]]:
    """Return the output of the process after the snapshot, and of each of its two copies."""
    path = [ROOT / "functions" / operation, *(ROOT / "layers" / name / "python" for name in ("common", "background"))]
    variables = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start", "PYTHONPATH": os.pathsep.join(map(str, path))}
    done = subprocess.run(
        [sys.executable, "-c", RESUMED_TWICE],
        env={**os.environ, **environment, **variables, "EVENT": str(event)},
        capture_output=True, text=True, check=False, cwd=path[0],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line[0] == " "]


def test_what_was_open_is_closed_before_the_snapshot_and_opened_after_it(
    service: Service, snapstart_hooks: None
) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    assert service.call("view_profile", token=token).status == 200
    connection = database._connection
    assert connection is not None
    assert auth._channel.cache_info().currsize == spicedb._channel.cache_info().currsize == 1
    assert jwt._key_set._keys

    run_before_snapshot()

    assert connection.closed
    assert database._connection is None
    assert auth._channel.cache_info().currsize == spicedb._channel.cache_info().currsize == 0
    assert not jwt._key_set._keys
    assert settings.settings.cache_info().currsize == 0
    run_after_restore()
    assert service.call("view_profile", token=token).status == 200
    assert service.log_in(user["email"])


def test_nothing_is_registered_without_snapstart() -> None:
    assert os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand") == "on-demand"
    snapstart.prepare()
    assert snapshot_restore_py.get_before_snapshot() == []


def test_a_read_opens_nothing_before_the_snapshot_and_imports_nothing_after_it(
    service: Service, tmp_path: Path
) -> None:
    user = service.register()
    event = json.loads((ROOT / "events" / "view_profile.json").read_text())
    event["headers"] = {"authorization": f"Bearer {service.log_in(user['email'])}"}
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    snapshot, *copies = resumed_twice("view_profile", service.environment, file)
    assert snapshot == {"open": []}
    assert [copy["status"] for copy in copies] == [200, 200]
    assert [copy["late"] for copy in copies] == [[], []]
    assert copies[0]["drawn"] != copies[1]["drawn"]


def test_resumed_environments_have_names_of_their_own(service: Service) -> None:
    _, first, second = resumed_twice("health", service.environment, ROOT / "events" / "health.json")
    ids = [copy["body"]["instance_id"] for copy in (first, second)]  # type: ignore[index]
    assert ids[0] != ids[1]
