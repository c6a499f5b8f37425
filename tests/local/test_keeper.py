"""A part that has ended is started again, until it is given up."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.keeper import HEALTHY_SECONDS, MOST_ENDS, Keeper
from local.parts.launch import Launch, PartFailed, spawn
from local.parts.process import Part
from tests.local.processes import eventually


class Sleeper(Part):
    """A program that serves at once, or ends at once."""

    name = "sleeper"
    code = "import time; time.sleep(600)"
    cwd = Path("/")

    def _spawn(self) -> subprocess.Popen[bytes]:
        return spawn(Launch([sys.executable, "-c", self.code], self.log, cwd=self.cwd))

    def _probe(self) -> bool:
        return True


def kill(part: Part) -> None:
    """Kill it, as another program could."""
    if part.running:
        os.kill(part.pid, signal.SIGKILL)
    eventually(lambda: not part.running)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Kept:
    """A part with a keeper whose clock only the test moves."""

    def __init__(self, part: Sleeper) -> None:
        self.part = part
        self.said: list[str] = []
        self.clock = Clock()
        part.start()
        self.keeper = Keeper(part, Part.start, self.said.append, self.clock)

    def end(self) -> float:
        """Kill the part, and let the keeper start it again. Return the pause between."""
        kill(self.part)
        ended = self.clock.now
        self.keeper.look()
        while not self.part.running:
            self.clock.now += 0.05
            self.keeper.look()
        pause = self.clock.now - ended
        self.keeper.look()
        assert self.keeper.serves
        return pause

    def go_on(self) -> None:
        """Look at a part that always ends, until the keeper gives it up."""
        while True:
            eventually(lambda: not self.part.running)
            self.clock.now += 0.5
            self.keeper.look()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with_part = Kept(Sleeper(tmp_path / "log"))
    yield with_part
    with_part.part.stop()


def test_the_pauses_grow_and_begin_anew_after_a_minute(kept: Kept) -> None:
    assert [kept.end() for _ in range(4)] == pytest.approx([0.2, 0.4, 0.8, 1.6], abs=0.1)
    kept.clock.now += HEALTHY_SECONDS
    assert kept.end() == pytest.approx(0.2, abs=0.1)
    assert kept.end() == pytest.approx(0.4, abs=0.1)


def test_it_says_how_the_part_ended_and_where_its_log_is(kept: Kept) -> None:
    kept.end()
    assert kept.said == [
        f"sleeper was killed by SIGKILL; it starts again in 0.2 s. Its log: {kept.part.log}",
        "sleeper serves again, 0.2 s after it ended.",
    ]


def test_a_part_that_lives_is_left_alone(kept: Kept) -> None:
    pid = kept.part.pid
    for _ in range(3):
        kept.clock.now += 1000
        kept.keeper.look()
    assert (kept.part.pid, kept.said) == (pid, [])


def test_a_part_that_ends_again_and_again_is_given_up(kept: Kept) -> None:
    for _ in range(MOST_ENDS - 1):
        kept.end()
    with pytest.raises(PartFailed, match=f"cannot be kept alive: it ended {MOST_ENDS} times within .* by SIGKILL"):
        kept.end()


def test_a_part_that_ends_at_start_is_given_up(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sleeper, "code", "raise SystemExit(3)")
    monkeypatch.setattr(Sleeper, "_probe", lambda _part: False)
    kill(kept.part)
    with pytest.raises(PartFailed, match=f"it ended {MOST_ENDS} times within .*last time it ended with exit code 3"):
        kept.go_on()


def test_a_part_that_the_system_has_no_room_for_is_tried_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without memory no process can start. The shortage that killed the part may last for a while."""
    with monkeypatch.context() as patch:
        patch.setattr(Sleeper, "cwd", kept.part.log.with_name("gone"))
        kill(kept.part)
        kept.keeper.look()
        kept.clock.now += 0.3
        kept.keeper.look()
    assert "sleeper cannot be started ([Errno 2] No such file or directory: " in kept.said[-1]
    assert "; it starts again in 0.4 s" in kept.said[-1]
    assert kept.end() == pytest.approx(0.4, abs=0.1)


def test_a_part_that_never_serves_is_killed_and_started_again(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sleeper, "_probe", lambda _part: False)
    kill(kept.part)
    for _ in range(200):
        kept.clock.now += 0.5
        kept.keeper.look()
    assert any("did not serve within 30 s; it starts again in 0.4 s" in line for line in kept.said)
