"""Run the curl commands of the README without changes against the running system."""

from pathlib import Path

import pytest

from tests.documented_commands import blocks, hold_against
from tests.system import System

README = Path(__file__).parents[2] / "README.md"
BLOCKS = blocks(README.read_text())
VOLATILE = {
    "id",
    "created_at",
    "instance_id",
    "access_token",
    "refresh_token",
    "next_cursor",
    "total",
    "users",
    "checks",
}


def test_there_are_commands() -> None:
    assert len(BLOCKS) == 6


@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="no curl on this machine")
def test_every_command_answers_what_is_shown(system: System) -> None:
    hold_against(BLOCKS, system, VOLATILE)
