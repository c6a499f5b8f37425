"""``make test``: the tests that it runs, and the output of a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.service import ROOT


@pytest.mark.parametrize(
    ("target", "arguments", "command"),
    [
        ("test", "", 'pytest -n 3  -m "not long" tests'),
        ("test", "tests/cli -k json", 'pytest -n 0 tests/cli -k json -m "not long"'),
        ("test-all", "", "pytest -n 2"),
        ("test-all", "tests/cli/test_user.py::test_a", "pytest -n 0 tests/cli/test_user.py::test_a"),
    ],
)
def test_which_tests_are_run(target: str, arguments: str, command: str) -> None:
    shown = subprocess.run(
        ["make", "--dry-run", target, *([f"ARGS={arguments}"] if arguments else [])],
        cwd=ROOT, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert shown.stdout.splitlines()[-1].rstrip() == f".venv/bin/python -m {command}"


FAILING = """
def test_fails(template_database):
    from users.telemetry.log import logger

    logger.info("told")
    raise AssertionError
"""


@pytest.mark.long
@pytest.mark.parametrize("asked", [False, True])
def test_a_failure_shows_the_log_without_the_indexes_of_migrations(tmp_path: Path, asked: bool) -> None:
    (tmp_path / "test_failing.py").write_text(FAILING)
    options = ["-p", "tests.conftest", "-c", "pyproject.toml", "-n", "0", *(["--log-level=INFO"] * asked)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path / "test_failing.py")],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed" in done.stdout, done.stdout + done.stderr
    assert "told" in done.stdout
    assert ("building index" in done.stdout) == asked
