"""Run the curl commands of a page without changes against the running system."""

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

from tests.system import ADMIN_EMAIL, ADMIN_PASSWORD, System


def blocks(text: str) -> list[tuple[str, str]]:
    """Return each block of commands, with the documented answer to its last command."""
    return re.findall(r"```sh\n(curl.*?)```\n```json\n(.*?)\n```", text, re.DOTALL)


def hold_against(
    shown: list[tuple[str, str]], system: System, volatile: set[str], prepare: Callable[[str], str] = lambda text: text
) -> None:
    """Run the commands, and compare the answers with the documented ones, apart from values of ``volatile`` keys.

    ``prepare`` inserts values that a reader takes from elsewhere, such as a token from a mail.
    """
    tokens: dict[str, str] = {}
    for commands, expected in shown:
        script = commands.replace("http://localhost:9002", system.url)
        script = script.replace("admin@example.com", ADMIN_EMAIL).replace('"12345678"', json.dumps(ADMIN_PASSWORD))
        for command in re.split(r"\n(?=curl)", script):
            ready = ["bash", "-ec", prepare(command)]
            done = subprocess.run(ready, env=tokens, check=True, capture_output=True, text=True)
            answer = json.loads(done.stdout)
            if "access_token" in answer:
                tokens["ADMIN_TOKEN" if ADMIN_EMAIL in command else "USER_TOKEN"] = answer["access_token"]
        assert _stable(answer, volatile) == _stable(json.loads(expected), volatile), commands


def _stable(answer: dict[str, Any], volatile: set[str]) -> dict[str, Any]:
    """Return an answer in which the values that differ from run to run are replaced."""
    return {key: "…" if key in volatile else value for key, value in answer.items()}
