"""``outbox``, ``conflicts`` and ``sweep``: the regular work of an operator."""

import json
import uuid
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine
from tests.service import Service


@pytest.fixture
def line(own_service: Service, tmp_path: Path) -> CommandLine:
    return CommandLine.of(own_service, tmp_path)


def put(service: Service, user_id: str, *, parked: bool, channel: str = "event") -> str:
    row_id = str(uuid.uuid4())
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload, attempts, parked_at, last_error)"
        " VALUES (%s, %s, %s, 'user.test', %s, %s, CASE WHEN %s THEN now() END, %s)",
        *(row_id, user_id, channel, json.dumps({"email": "canary@example.com"}), 12 * parked, parked),
        "refused" if parked else None,
    )
    return row_id


def test_list_shows_no_personal_data_unless_asked(own_service: Service, line: CommandLine) -> None:
    parked = put(own_service, "somebody", parked=True)
    put(own_service, "somebody", parked=False)
    listed = line.run("outbox", "list", "--parked", "--json").json
    assert [row["id"] for row in listed["rows"]] == [parked]
    assert (listed["waiting"], listed["parked"]) == (1, 1)
    assert "payload" not in listed["rows"][0]
    text = line.run("outbox", "list").out
    assert "canary" not in text
    assert "parked" in text
    assert "canary" in line.run("outbox", "list", "--payload").out


def test_retry_and_skip(own_service: Service, line: CommandLine) -> None:
    first, second = put(own_service, "somebody", parked=True), put(own_service, "else", parked=True, channel="mail")
    behind = put(own_service, "somebody", parked=False)

    assert line.run("outbox", "retry").code == 2
    retried = line.run("outbox", "retry", second, str(uuid.UUID(int=1)), "--json")
    assert retried.code == 1
    assert retried.json == {"retried": [second], "missing": [str(uuid.UUID(int=1))]}
    row = own_service.execute("SELECT attempts, parked_at, last_error FROM users_outbox WHERE id = %s", second)
    assert row == [{"attempts": 0, "parked_at": None, "last_error": None}]

    assert line.run("outbox", "skip", "--all-parked").code == 2  # nobody can confirm, and --yes is missing
    assert line.run("outbox", "skip", behind, "--json").json == {"skipped": [], "missing": [behind]}
    skipped = line.run("outbox", "skip", "--all-parked", "--yes", "--json").json["skipped"]
    assert [(one["id"], one["freed"]) for one in skipped] == [(first, 1)]
    assert {str(row["id"]) for row in own_service.execute("SELECT id FROM users_outbox")} == {second, behind}


def test_conflicts_and_sweep(own_service: Service, line: CommandLine) -> None:
    keeper, marked, due = own_service.register(), own_service.register(), own_service.register()
    own_service.execute(
        "UPDATE users SET case_conflict = true, email = %s WHERE id = %s", keeper["email"].upper(), marked["id"]
    )
    own_service.execute("UPDATE users SET status = 2, deleted_at = now() - interval '31 days' WHERE id = %s", due["id"])
    (conflict,) = line.run("conflicts", "--json").json["conflicts"]
    assert (conflict["id"], conflict["kept_by"]) == (marked["id"], keeper["id"])
    rehearsed = line.run("sweep", "--dry-run", "--json").json
    assert rehearsed["counts"]["deleted"] == 1
    assert [one["id"] for one in rehearsed["due"]] == [due["id"]]
    assert line.run("sweep").code == 2
    assert line.run("sweep", "--yes", "--json").json["counts"]["swept"] == 1
    assert own_service.execute("SELECT id FROM users WHERE id = %s", due["id"]) == []
    nothing_due = line.run("sweep", "--json")  # so no confirmation is needed
    assert (nothing_due.code, nothing_due.json["counts"]["swept"]) == (0, 0), nothing_due.err
