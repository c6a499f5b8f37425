"""The README's curl commands, as they stand there, against the running system."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.system import ADMIN_EMAIL, ADMIN_PASSWORD, System

README = Path(__file__).parents[2] / "README.md"
BLOCKS = re.findall(r"```sh\n(curl.*?)```\n```json\n(.*?)\n```", README.read_text(), re.DOTALL)
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


def stable(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs from run to run: those values are only there."""
    return {key: "…" if key in VOLATILE else value for key, value in answer.items()}


def test_there_are_commands() -> None:
    assert len(BLOCKS) == 6


@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="no curl on this machine")
def test_every_command_answers_what_is_shown(system: System) -> None:
    tokens: dict[str, str] = {}
    for commands, shown in BLOCKS:
        script = commands.replace("http://localhost:9002", system.url)
        script = script.replace("admin@example.com", ADMIN_EMAIL).replace('"12345678"', json.dumps(ADMIN_PASSWORD))
        for command in re.split(r"\n(?=curl)", script):
            done = subprocess.run(["bash", "-ec", command], env=tokens, check=True, capture_output=True, text=True)
            answer = json.loads(done.stdout)
            if "access_token" in answer:
                tokens["ADMIN_TOKEN" if ADMIN_EMAIL in command else "USER_TOKEN"] = answer["access_token"]
        assert stable(answer) == stable(json.loads(shown)), commands
