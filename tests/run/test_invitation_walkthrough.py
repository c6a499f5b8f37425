"""Follow the walk-through "Invite people" of docs/operations.md on a system that is set up for it."""

import re
from pathlib import Path

import pytest

from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer
from tests.documented_commands import blocks, hold_against
from tests.system import System, running_system

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
WALK = PAGE[PAGE.index("## Invite people") : PAGE.index("## Receive events")]
VOLATILE = {"id", "created_at", "updated_at", "updated_by", "verified_at"}
SUBJECT = "Your new account: set your password"


def with_token(command: str, system: System) -> str:
    """Return the command with the token of the second invitation, which ended the first one, if it needs a token."""
    if "mginvite_" not in command:
        return command
    found = re.search(r"mginvite_[\w-]+", system.mail("ada@example.com", SUBJECT, count=2).text)
    assert found
    return re.sub(r"mginvite_[^\"]+", found[0], command)


@pytest.mark.long
@pytest.mark.skipif(not Path("/usr/bin/curl").exists(), reason="no curl on this machine")
def test_every_command_answers_what_is_shown(
    postgres: PostgresServer, mail_server: MailServer, environment: dict[str, str], tmp_path: Path
) -> None:
    assert SUBJECT in WALK.replace("\n", " ")
    settings = dict(re.findall(r"(MG_\w+)=(\w+)", WALK[: WALK.index(" make run")]))
    assert len(settings) == 2
    conninfo = postgres.create_database("invitations")
    with running_system("invitations", conninfo, mail_server.url, environment | settings, tmp_path) as system:
        hold_against(blocks(WALK), system, VOLATILE, lambda command: with_token(command, system))
