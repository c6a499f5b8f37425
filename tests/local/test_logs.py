"""Logs of the parts stay small, and lose lines only on a full disk."""

import resource
import sys
from pathlib import Path

import pytest

from local import logs
from local.parts.launch import Launch, spawn
from tests.local.processes import eventually


def test_a_new_log_keeps_the_older_ones(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    for text in "abcde":
        logs.set_aside(log)
        log.write_text(text)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "part.log": "e",
        "part.log.1": "d",
        "part.log.2": "c",
        "part.log.3": "b",
    }


def test_a_log_that_has_grown_is_emptied_under_its_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    log = tmp_path / "part.log"
    steps = "import time, pathlib\nfor number in range(2000):\n print(f'line {number:08}', flush=True)\n"
    steps += " while not pathlib.Path('go').exists() and number == 500: time.sleep(0.01)\n"
    process = spawn(Launch([sys.executable, "-c", steps], log, cwd=tmp_path))
    eventually(lambda: log.stat().st_size == 501 * 14)
    logs.keep_small(log)
    assert log.stat().st_size == 0
    (tmp_path / "go").touch()
    assert process.wait(30) == 0
    assert (log.read_bytes()[:14], log.stat().st_size) == (b"line 00000501\n", 1499 * 14), "no hole at its beginning"
    logs.keep_small(log)
    kept = [(tmp_path / f"part.log.{number}").read_text().splitlines() for number in (2, 1)]
    assert kept[0] + kept[1] == [f"line {number:08}" for number in range(2000)]
    assert log.stat().st_mode & 0o777 == (tmp_path / "part.log.1").stat().st_mode & 0o777


def test_a_small_log_is_left_alone(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    logs.keep_small(log)
    log.write_text("small")
    logs.keep_small(log)
    assert [path.name for path in tmp_path.iterdir()] == ["part.log"]


def test_a_full_disk_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines are dropped. The supervisor runs on, and the log that has grown frees its space."""
    monkeypatch.setattr(logs, "MOST_BYTES", 1000)
    log, older = tmp_path / "part.log", tmp_path / "part.log.1"
    older.write_text("older")
    log.write_text("x" * 20_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # a write beyond this size fails, as on a full disk
    try:
        logs.keep_small(log)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert log.stat().st_size == 0
    assert {path.name for path in tmp_path.iterdir()} == {"part.log", "part.log.2"}
    assert (tmp_path / "part.log.2").read_text() == "older"
