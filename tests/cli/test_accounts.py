"""``user list``, ``create`` and ``delete`` follow the rules of the API's operations."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.parts.mail import MailServer
from tests.cli.command_line import CommandLine
from tests.deliveries import mails_to
from tests.service import PASSWORD, Service, registration


def long(*values: Any) -> Any:
    """Mark a case as long: it takes as long as the case beside it, and proves less."""
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.fixture
def line(service: Service, tmp_path: Path) -> CommandLine:
    return CommandLine.of(service, tmp_path)


def created(line: CommandLine, *options: str, given: str = "", **changes: str) -> Any:
    """Run ``user create`` with unique names."""
    body = registration()
    names = {
        "email": body["email"],
        "username": body["credentials"]["username"],
        "first-name": body["first_name"],
        "last-name": body["last_name"],
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    arguments = [part for name, value in names.items() for part in (f"--{name}", value)]
    return line.run("user", "create", *arguments, "--json", *options, input=given)


# --- list


@pytest.mark.parametrize(
    ("options", "query"),
    [
        (["--status", "all", "--order", "username", "--dir", "asc"], "status=all&order=username&dir=asc"),
        long([], ""),
        long(["--role", "admin"], "role=admin"),
        long(["--verified", "true", "--limit", "1", "--offset", "1"], "verified=true&limit=1&offset=1"),
        (["--username", "a%b", "--first-name", "ü &="], "username=a%25b&first_name=%C3%BC%20%26%3D"),
        (["--tags", "x+y", "--metadata", '{"a": 1}'], "tags=x%2By&metadata=%7B%22a%22%3A%201%7D"),
        long(["--created-from", "2026-01-31T12:00:00+01:00"], "created_from=2026-01-31T12%3A00%3A00%2B01%3A00"),
        long(["--only-total"], "only_total=true"),
    ],
)
def test_list_answers_as_the_api_does(emptied_service: Service, tmp_path: Path, options: list[str], query: str) -> None:
    service = emptied_service
    for changes in ({}, {"tags": ["x", "y"], "metadata": {"a": 1}}, {"first_name": "ü &="}):
        service.register(**changes)
    _, token = service.administrator()
    expected = service.call("list_users", token=token, query=query).json
    found = CommandLine.of(service, tmp_path).run("user", "list", *options, "--json")
    assert found.code == 0, found.err
    assert found.json == expected


def test_list_goes_on_by_its_cursor(emptied_service: Service, tmp_path: Path) -> None:
    users = [emptied_service.register() for _ in range(3)]
    line = CommandLine.of(emptied_service, tmp_path)
    first = line.run("user", "list", "--limit", "2", "--json").json
    rest = line.run("user", "list", "--limit", "2", "--cursor", first["next_cursor"], "--json").json
    assert [each["id"] for each in first["users"] + rest["users"]] == [each["id"] for each in reversed(users)]
    text = line.run("user", "list", "--limit", "2").out.splitlines()
    assert text[0].split()[:3] == ["id", "email", "username"]
    assert users[2]["email"] in text[1]
    assert text[-2] == "3 in all"
    assert text[-1].startswith("next page: --cursor ")


def test_list_refuses_what_the_api_refuses(line: CommandLine) -> None:
    assert line.run("user", "list", "--limit", "101", "--json").failure[:2] == (2, "usage")
    assert line.run("user", "list", "--cursor", "x", "--offset", "1", "--json").failure[:2] == (1, "invalid_cursor")
    assert line.run("user", "list", "--metadata", "{", "--json").failure[:2] == (1, "invalid_query")
    assert line.run("user", "list", "--order", "secret", "--json").failure[:2] == (2, "usage")


# --- create


def test_create_invites(service: Service, line: CommandLine, mail_server: MailServer) -> None:
    done = created(line, "--tag", "a", "--tag", "b", metadata='{"k": 1}')
    assert done.code == 0, done.err
    user = done.json
    assert user["invited"] is True
    assert (user["role"], user["status"], user["tags"], user["metadata"]) == ("user", "enabled", ["a", "b"], {"k": 1})
    service.deliver()
    (mail,) = mails_to(mail_server.url, user["email"])
    body = {"token": mail.token, "password": PASSWORD, "confirm_password": PASSWORD}
    assert service.call("reset_password", body).status == 201
    token = service.log_in(user["email"])
    shown = service.call("view_profile", token=token).json
    assert shown["verified_at"] != "0001-01-01T00:00:00Z"  # the link proved the address


def test_create_records_what_the_api_records(emptied_service: Service, tmp_path: Path) -> None:
    """An administrator's registration writes the same rows, apart from ids, names and the acting account."""
    service, line = emptied_service, CommandLine.of(emptied_service, tmp_path)
    _, token = service.administrator()

    def kept(user_id: str) -> list[tuple[str, str, list[str]]]:
        rows = service.execute(
            "SELECT channel, name, payload FROM users_outbox WHERE user_id = %s ORDER BY channel, name", user_id
        )
        return [(row["channel"], row["name"], sorted(row["payload"])) for row in rows]

    by_api = service.call("register_user", registration(), token=token).json
    by_cli = created(line).json
    assert kept(by_cli["id"]) == kept(by_api["id"])
    columns = "self_registered, case_conflict, verified_at, secret, status, role, disabled_at"
    one, other = (
        service.execute(f"SELECT {columns} FROM users WHERE id = %s", each["id"])[0] for each in (by_api, by_cli)
    )
    assert other == one | {"secret": None}
    assert other["self_registered"] is False


def test_create_an_administrator_with_a_password(service: Service, line: CommandLine) -> None:
    user = created(line, "--role", "admin", "--password-stdin", given=f"{PASSWORD}\n", username="support").json
    assert user["credentials"]["username"] == "support"  # only an operator may assign reserved names
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    assert service.call("list_users", token=service.log_in(user["email"])).status == 200  # its relation exists
    service.execute("UPDATE users SET role = 0, status = 2 WHERE id = %s", user["id"])


def test_create_disabled(service: Service, line: CommandLine) -> None:
    user = created(line, "--status", "disabled").json
    assert (user["status"], user["invited"]) == ("disabled", False)
    (row,) = service.execute("SELECT disabled_at IS NOT NULL AS dated FROM users WHERE id = %s", user["id"])
    assert row["dated"]


@pytest.mark.parametrize(
    "changes",
    [
        {"first_name": ""},
        {"secret": "password1"},
        {"email": "taken"},
        long({"first_name": "x" * 1025}),
        long({"last_name": "Ada\u202e"}),
        long({"username": "a b"}),
        long({"username": "x" * 33}),
        long({"email": "no address"}),
        long({"email": f"{'x' * 250}@example.com"}),
        long({"secret": "short"}),
        long({"metadata": json.dumps({"m": "x" * 70_000})}),
        long({"username": "taken"}),
    ],
)
def test_create_refuses_what_a_registration_refuses(
    service: Service, line: CommandLine, changes: dict[str, str]
) -> None:
    taken = service.register()
    changes = {name: value for name, value in changes.items() if value != "taken"} | {
        name: taken["email"].upper() if name == "email" else taken["credentials"]["username"].upper()
        for name, value in changes.items()
        if value == "taken"
    }
    body = registration()
    body |= {name: value for name, value in changes.items() if name in ("first_name", "last_name", "email")}
    body["credentials"] |= {name: value for name, value in changes.items() if name in ("username", "secret")}
    if "metadata" in changes:
        body["metadata"] = json.loads(changes["metadata"])
    _, expected = service.call("register_user", body).error
    secret = changes.pop("secret", "")
    options = ["--password-stdin"] if secret else []
    code, error, _ = created(line, *options, given=f"{secret}\n", **changes).failure
    assert (code, error) == (1, expected)


@pytest.mark.parametrize(
    "metadata",
    [
        '{"a":' * 200 + "1" + "}" * 200,
        long('{"a": "\\u0000"}'),
        long('{"a": "\\ud800"}'),
        long('{"a": 1e400}'),
        long('{"a": NaN}'),
    ],
)
def test_create_refuses_metadata_that_cannot_be_kept(service: Service, line: CommandLine, metadata: str) -> None:
    """A registration refuses such metadata as well."""
    raw = json.dumps(registration()).removesuffix("}") + f', "metadata": {metadata}}}'
    _, expected = service.call("register_user", raw=raw).error
    code, error, _ = created(line, metadata=metadata).failure
    assert (code, error) == (1, expected)


def test_create_refuses_to_go_without_the_password_that_was_to_come(line: CommandLine) -> None:
    """The program before the pipe may have failed. In that case the command creates no account without a password."""
    assert created(line, "--password-stdin", given="").failure[:2] == (2, "usage")
    assert created(line, "--password-stdin", given="\n").failure[:2] == (2, "usage")


def test_create_refuses_metadata_that_are_no_object(line: CommandLine) -> None:
    assert created(line, metadata="[" * 100_000).failure[:2] == (2, "usage")
    assert created(line, metadata="[]").failure[:2] == (2, "usage")
    assert created(line, metadata="{").failure[:2] == (2, "usage")


# --- delete


def test_delete_can_be_undone(service: Service, line: CommandLine) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", user["id"])
    deleted = line.run("user", "delete", user["credentials"]["username"], "--json")
    assert deleted.json == {"id": user["id"], "now": "deleted", "changed": True}
    assert service.call("view_profile", token=token).status == 401
    rows = service.execute(
        "SELECT channel, name, payload FROM users_outbox WHERE user_id = %s ORDER BY seq", user["id"]
    )
    assert {("event", "user.delete"), ("mail", "account_deleted")} <= {(row["channel"], row["name"]) for row in rows}
    (mail,) = (row["payload"] for row in rows if row["name"] == "account_deleted")
    assert "removal_at" in mail
    assert line.run("user", "delete", user["id"], "--json").json["changed"] is False
    assert line.run("user", "enable", user["id"], "--json").json["changed"] is True
    service.log_in(user["email"])


@pytest.mark.parametrize("deleted_before", [False, True])
def test_purge_leaves_no_trace(service: Service, line: CommandLine, deleted_before: bool) -> None:
    user = service.register()
    if deleted_before:
        assert line.run("user", "delete", user["id"]).code == 0
    assert line.run("user", "delete", user["id"], "--purge").code == 2  # nobody can confirm, and --yes is missing
    removed = line.run("user", "delete", user["id"], "--purge", "--yes", "--json")
    assert removed.json == {"id": user["id"], "now": "removed", "changed": True}
    assert service.execute("SELECT FROM users WHERE id = %s", user["id"]) == []
    rows = service.execute("SELECT name, payload FROM users_outbox WHERE user_id = %s ORDER BY seq", user["id"])
    assert "user.purge" in {row["name"] for row in rows}
    assert user["email"] not in json.dumps([row["payload"] for row in rows])
    assert line.run("user", "delete", user["id"], "--json").failure[:2] == (1, "not_found")


def test_without_a_grace_period_nothing_is_removed_unasked(service: Service, tmp_path: Path) -> None:
    line = CommandLine.of(service, tmp_path, MG_USERS_DELETE_AFTER="0s")
    user = service.register()
    assert line.run("user", "delete", user["id"]).code == 2
    assert line.run("user", "delete", user["id"], "--yes", "--json").json["now"] == "removed"


def test_the_last_administrator_stays(emptied_service: Service, tmp_path: Path) -> None:
    keeper, _ = emptied_service.administrator()
    line = CommandLine.of(emptied_service, tmp_path)
    assert line.run("user", "delete", keeper, "--json").failure[:2] == (1, "last_administrator")
    assert line.run("user", "delete", keeper, "--purge", "--yes", "--json").failure[:2] == (1, "last_administrator")


def test_purge_waits_for_spicedb(service: Service, tmp_path: Path) -> None:
    user = service.register()
    away = CommandLine.of(service, tmp_path, MG_SPICEDB_PORT="1")
    assert away.run("user", "delete", user["id"], "--purge", "--yes", "--json").failure[:2] == (
        3,
        "spicedb_unavailable",
    )
    assert CommandLine.of(service, tmp_path).run("user", "delete", user["id"], "--purge", "--yes").code == 0


def test_a_removal_that_has_begun_is_not_begun_again(service: Service, line: CommandLine) -> None:
    user = service.register()
    service.execute("UPDATE users SET status = 1, disabled_at = now(), purging_at = now() WHERE id = %s", user["id"])
    for options in ([], ["--purge", "--yes"]):
        assert line.run("user", "delete", user["id"], *options, "--json").failure[:2] == (1, "removal_begun")


# --- --json


@pytest.mark.parametrize("place", [0, 1, long(2), long(3)])
def test_json_may_stand_anywhere(service: Service, line: CommandLine, place: int) -> None:
    user = service.register()
    words = ["user", "show", user["id"]]
    assert line.run(*words[:place], "--json", *words[place:]).json["id"] == user["id"]
    words = ["user", "show", "nobody"]
    assert line.run(*words[:place], "--json", *words[place:]).failure[:2] == (1, "not_found")
