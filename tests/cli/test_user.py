"""``user …``: commands for one account follow the rules of the API's operations."""

from pathlib import Path

import pytest

from local.parts.mail import MailServer
from tests.cli.command_line import CommandLine
from tests.deliveries import mails_to
from tests.service import PASSWORD, Service


@pytest.fixture
def line(service: Service, tmp_path: Path) -> CommandLine:
    return CommandLine.of(service, tmp_path)


def events_of(service: Service, user_id: str) -> list[str]:
    rows = service.execute(
        "SELECT name, payload FROM users_outbox WHERE user_id = %s AND channel = 'event' ORDER BY seq", user_id
    )
    assert all(row["payload"].get("updated_by", "cli") == "cli" for row in rows)
    return [row["name"] for row in rows]


def test_show_hides_what_is_private(service: Service, line: CommandLine) -> None:
    user = service.register(private_metadata={"p": "canary-4711"}, metadata={"m": "\x1b[31mred"})
    shown = line.run("user", "show", user["email"].upper())
    assert shown.code == 0
    assert user["id"] in shown.out
    assert "argon2id" in shown.out
    assert "canary-4711" not in shown.out
    assert "$argon2id$" not in shown.out
    assert "\x1b" not in shown.out
    private = line.run("user", "show", user["id"], "--private", "--json").json
    assert private["private_metadata"] == {"p": "canary-4711"}


def test_disable_and_enable(service: Service, line: CommandLine) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    name = user["credentials"]["username"]
    assert line.run("user", "disable", name, "--json").json == {"id": user["id"], "now": "disabled", "changed": True}
    assert service.call("view_profile", token=token).status == 401
    assert line.run("user", "disable", name, "--json").json["changed"] is False
    assert line.run("user", "enable", name, "--json").json["changed"] is True
    service.log_in(user["email"])
    assert events_of(service, user["id"])[-3:-1] == ["user.disable", "user.enable"]
    assert service.execute("SELECT updated_by FROM users WHERE id = %s", user["id"]) == [{"updated_by": "cli"}]


def test_enable_ends_what_failed_logins_brought_about(service: Service, line: CommandLine) -> None:
    user = service.register()
    service.execute(
        "INSERT INTO users_login_failures (user_id, failures, restricted_at) VALUES (%s, 100, now())", user["id"]
    )
    assert line.run("user", "show", user["id"], "--json").json["restricted_at"] is not None
    assert service.call("issue_token", {"identity": user["email"], "secret": PASSWORD}).status == 401
    assert line.run("user", "enable", user["id"], "--json").json["changed"] is True
    assert line.run("user", "show", user["id"], "--json").json["restricted_at"] is None
    service.log_in(user["email"])
    assert line.run("user", "enable", user["id"], "--json").json["changed"] is False


def test_set_role_writes_the_relations(emptied_service: Service, tmp_path: Path) -> None:
    service, line = emptied_service, CommandLine.of(emptied_service, tmp_path)
    keeper, _ = service.administrator()
    user = service.register()
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    assert service.call("list_users", token=service.log_in(user["email"])).status == 403
    assert line.run("user", "set-role", user["id"], "admin", "--json").json["changed"] is True
    assert service.call("list_users", token=service.log_in(user["email"])).status == 200
    assert line.run("user", "set-role", user["id"], "admin", "--json").json["changed"] is False
    assert line.run("user", "set-role", user["id"], "user", "--json").json["changed"] is True
    assert service.call("list_users", token=service.log_in(user["email"])).status == 403
    last = line.run("user", "set-role", keeper, "user", "--json").failure
    assert last[:2] == (1, "last_administrator")


def test_no_right_is_revoked_while_spicedb_is_away(service: Service, tmp_path: Path) -> None:
    service.administrator()
    second, _ = service.administrator()
    away = CommandLine.of(service, tmp_path, MG_SPICEDB_PORT="1")
    assert away.run("user", "set-role", second, "user", "--json").failure[:2] == (3, "spicedb_unavailable")
    assert service.execute("SELECT role FROM users WHERE id = %s", second) == [{"role": 1}]
    granted = away.run("user", "set-role", service.register()["id"], "admin")
    assert granted.code == 0
    assert "relation left to the outbox" in granted.err


def test_a_reset_is_mailed_printed_or_set(service: Service, line: CommandLine, mail_server: MailServer) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    assert line.run("user", "reset-password", user["id"]).code == 0
    service.deliver()
    assert mails_to(mail_server.url, user["email"])[-1].token.startswith("mgreset_")

    link = line.run("user", "reset-password", user["id"], "--print-link").out.strip()
    new = {"password": "another horse 8 battery", "confirm_password": "another horse 8 battery"}
    assert service.call("reset_password", {"token": link.partition("token=")[2], **new}).status == 201
    assert service.call("view_profile", token=token).status == 401
    assert service.call("reset_password", {"token": link.partition("token=")[2], **new}).status == 400

    weak = line.run("user", "reset-password", user["id"], "--password-stdin", "--json", input="password\n")
    assert weak.failure[:2] == (1, "common_password")
    token = service.log_in(user["email"], new["password"])
    assert line.run("user", "reset-password", user["id"], "--password-stdin", input=f"{PASSWORD}\n").code == 0
    assert service.call("view_profile", token=token).status == 401
    service.log_in(user["email"])
    assert "user.update_secret" in events_of(service, user["id"])


def test_an_unknown_and_an_ambiguous_name(service: Service, line: CommandLine) -> None:
    assert line.run("user", "show", "nobody", "--json").failure[:2] == (1, "not_found")
    first, second = service.register(), service.register()
    service.execute("UPDATE users SET username = %s WHERE id = %s", first["email"], second["id"])
    code, error, message = line.run("user", "disable", first["email"], "--json").failure
    assert (code, error) == (1, "ambiguous")
    assert first["id"] in message


def test_what_is_not_utf_8(line: CommandLine) -> None:
    assert line.run("user", "show", "\udcff", "--json").failure[:2] == (2, "encoding")


def test_a_program_of_its_own(service: Service, line: CommandLine) -> None:
    """The command runs as an operator starts it, also with a reader that closes the pipe early."""
    user = service.register()
    assert line.run_alone("user", "show", user["id"], "--json").json["email"] == user["email"]

    process = line.start("outbox", "list", "--json")
    assert process.stdin
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stdin, process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(30) == 1
