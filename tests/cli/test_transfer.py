"""``import`` and ``export``: an export can be imported without a change, and errors are reported with their line."""

import json
import re
import resource
import secrets
import signal
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bcrypt
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from background.accounts.transfer.line import MAX_BYTES, read_line
from local.parts.postgres import PostgresServer
from tests.cli.command_line import CommandLine
from tests.service import PASSWORD, Service, eventually
from users.errors import BadRequest

# A hash of PASSWORD by argon2-cffi, whose default is 4 lanes.
ARGON2_DEFAULT = "$argon2id$v=19$m=65536,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg$dh/UUsqK8iX5fz7jeyPD3SP9X5iOfPUQHPU1DO8mJaU"
ARGON2_WEAK = "$argon2id$v=19$m=8192,t=1,p=2$MDEyMzQ1Njc4OWFiY2RlZg$l59GnBPLGk3lCY+lbmIJXcITxgV/+nG3bVySMasddIY"


@pytest.fixture
def line(own_service: Service, tmp_path: Path) -> CommandLine:
    return CommandLine.of(own_service, tmp_path)


@pytest.fixture
def another(
    own_service: Service, postgres: PostgresServer, template_database: str, tmp_path: Path
) -> Callable[..., tuple[CommandLine, Service]]:
    """Return a function that makes further, empty installations."""

    def make(**variables: str) -> tuple[CommandLine, Service]:
        name = f"transfer_{uuid.uuid4().hex}"
        conninfo = postgres.create_database(name, template=template_database)
        service = Service(own_service.environment | {"MG_USERS_DB_NAME": name}, conninfo)
        return CommandLine.of(service, tmp_path, **variables), service

    return make


def user(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "credentials": {"username": f"ada_{number}"},
        "email": f"Ada.{number}@Example.com",
        **changes,
    }


def write(line: CommandLine, *users: Any) -> str:
    """Write a file of lines: objects as JSON, bytes unchanged."""
    lines = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in users]
    (line.folder / "users.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    return "users.ndjson"


def errors_of(line: CommandLine) -> dict[int, str]:
    lines = (line.folder / "errors.ndjson").read_text().splitlines()
    return {one["line"]: one["error"] for one in map(json.loads, lines)}


# --- the round trip


def test_an_export_comes_back_to_the_byte(
    own_service: Service, line: CommandLine, another: Callable[..., tuple[CommandLine, Service]]
) -> None:
    other, other_service = another(MG_SPICEDB_HOST="")
    exact = '{"pi": 3.10, "big": 12345678901234567890.5, "é😀": [null, {"a": "\\\\u0000 is text"}]}'
    for number, assignment in enumerate(
        [
            f"metadata = '{exact}', private_metadata = '{exact}', tags = '{{b,a,ü}}'",
            "status = 1, disabled_at = '2026-01-02 03:04:05.678901+00', verified_at = now()",
            "status = 2, deleted_at = now(), tokens_valid_from = date_trunc('second', now())",
            "case_conflict = true, email = upper(email)",
            "username = NULL, secret = NULL, auth_provider = 'google', last_name = ''",
            "profile_picture = 'https://example.com/a.png', updated_at = now(), updated_by = 'cli', metadata = NULL",
            "updated_at = '0001-01-01 00:00:00+00', role = 1",
        ]
    ):
        own_service.execute(
            "INSERT INTO users (id, first_name, last_name, email, username, secret, metadata, created_at)"
            " VALUES (%s, 'Grace\nH', 'O''Neil \\ \"x\"', %s, %s, %s, '{}', '2025-06-01 12:00:00.1+02')",
            *(str(uuid.uuid4()), f"g{number}@example.com", f"g{number}", ARGON2_DEFAULT),
        )
        own_service.execute(f"UPDATE users SET {assignment} WHERE email = %s", f"g{number}@example.com")
    assert line.run("export", "first.ndjson", "--with-hashes", "--json").json["exported"] == 7
    first = line.folder / "first.ndjson"
    assert first.stat().st_mode & 0o777 == 0o600
    imported = other.run("import", "first.ndjson", "--any-names", "--json")
    assert (imported.code, imported.json["imported"]) == (0, 7), imported.err
    assert other.run("export", "second.ndjson", "--with-hashes").code == 0
    assert (line.folder / "second.ndjson").read_bytes() == first.read_bytes()
    assert other_service.execute("SELECT metadata::text FROM users WHERE username = 'g0'") == [{"metadata": exact}]
    assert ARGON2_DEFAULT not in line.run("export", "-").out
    again = other.run("import", "first.ndjson", "--any-names", "--json").json
    assert (again["imported"], again["existing"], again["failed"]) == (0, 7, 0)


def test_imported_hashes_log_in(own_service: Service, line: CommandLine) -> None:
    weak_bcrypt = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    is_replaced = {weak_bcrypt: True, ARGON2_DEFAULT: False, ARGON2_WEAK: True}
    users = [user(number, secret=stored) for number, stored in enumerate(is_replaced)]
    assert line.run("import", write(line, *users)).code == 0
    for number, stored in enumerate(is_replaced):
        assert own_service.call("issue_token", {"identity": f"ada_{number}", "secret": "wrong"}).status == 401
        own_service.log_in(f"ADA_{number}")  # the relation that Auth needs exists
        (kept,) = own_service.execute("SELECT secret FROM users WHERE username = %s", f"ada_{number}")
        assert (kept["secret"] != stored) == is_replaced[stored]
        own_service.log_in(f"ada_{number}")


# --- wrong lines

ARGON2I = "$argon2i$v=19$m=65536,t=3,p=4$MDEyMzQ1Njc4OWFiY2RlZg$dh/UUsqK8iX5fz7jeyPD3SP9X5iOfPUQHPU1DO8mJaU"
WRONG: list[tuple[Any, str]] = [
    (b"{", "malformed_line"),
    (b'"text"', "malformed_line"),
    (b"\xff\xfe", "malformed_line"),
    (b'{"a":' * 100_000, "malformed_line"),
    (b'{"metadata":{"n":NaN}}', "malformed_line"),
    (b"x" * (MAX_BYTES + 1), "line_too_long"),
    (user(1, metadata={"a": ["\0"]}), "malformed_line"),
    (user(1, first_name="\ud83d"), "malformed_line"),
    (user(1, emial="x"), "unknown_key"),
    (user(1, credentials={"username": "ada", "secret": "a password"}), "unknown_key"),
    (user(1, secret="a password"), "invalid_hash"),
    (user(1, secret=ARGON2I), "invalid_hash"),
    (user(1, secret="$2b$31$" + "a" * 53), "invalid_hash"),
    (user(1, secret=ARGON2_WEAK.replace("m=8192", "m=9999999")), "invalid_hash"),
    (user(1, tags=["a", 1]), "wrong_type"),
    (user(1, metadata=[]), "wrong_type"),
    (user(1, status="gone"), "invalid_status"),
    (user(1, role="all"), "invalid_role"),
    (user(1, created_at="2026-01-01"), "invalid_time"),
    (user(1, id="x" * 37), "invalid_id"),
    (user(1, email="no address"), "invalid_email"),
    (user(1, email=f"{'x' * 250}@example.com"), "email_too_long"),
    (user(1, first_name="x" * 255), "first_name_too_long"),
    (user(1, first_name=""), "missing_first_name"),
    (user(1, credentials={"username": "a b"}), "invalid_username"),
    (user(1, credentials={}), "missing_username"),
    (user(1, profile_picture="http://[x"), "invalid_profile_picture"),
]


@pytest.mark.parametrize(("wrong", "error"), WRONG)
def test_a_wrong_line_is_named(wrong: Any, error: str) -> None:
    raw = wrong if isinstance(wrong, bytes) else json.dumps(wrong).encode()
    with pytest.raises(BadRequest) as raised:
        read_line(1, raw)
    assert raised.value.code == error


@given(
    st.binary(max_size=200)
    | st.text().map(str.encode)
    | st.dictionaries(st.text(), st.text()).map(json.dumps).map(str.encode)
)
def test_any_other_line_is_refused_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(BadRequest):
        read_line(1, raw)


def test_good_lines_go_in_beside_wrong_ones(own_service: Service, line: CommandLine) -> None:
    """One of the wrong lines is found only by PostgreSQL: its number has too many digits."""
    digits = b'{"first_name":"A","last_name":"B","email":"d@example.com","credentials":{"username":"d"},"metadata":'
    given = [
        b"\xef\xbb\xbf" + json.dumps(user(1)).encode(),
        b"",
        b"x" * (2 * MAX_BYTES),
        user(3),
        digits + b'{"n":1e200000}}',
        user(4, email="ada.3@example.com"),
        user(5, credentials={"username": "ADA_3"}),
        user(6, id="not-a-uuid"),
    ]
    done = line.run("import", write(line, *given), "--errors", "errors.ndjson", "--json")
    assert done.code == 1
    assert done.json == {
        "imported": 3, "updated": 0, "existing": 0, "failed": 4, "relations_left": 0, "dry_run": False,
    }  # fmt: skip
    assert errors_of(line) == {3: "line_too_long", 5: "refused", 6: "email_taken", 7: "username_taken"}
    assert "example.com" not in (line.folder / "errors.ndjson").read_text()
    assert "line 6:" in done.err
    assert {row["username"] for row in own_service.execute("SELECT username FROM users")} == {"ada_1", "ada_3", "ada_6"}


def test_wrong_lines_are_told_in_their_order(own_service: Service, line: CommandLine) -> None:
    """The order is that of the lines, whether the check of a line, a constraint or PostgreSQL alone finds the error."""
    existing = own_service.register()
    digits = b'{"first_name":"A","last_name":"B","email":"d@example.com","credentials":{"username":"d"},"metadata":'
    digits += b'{"n":1e400000}}'
    taken = user(9, email=existing["email"])
    again = user(4, email="ADA.3@example.com")
    given = write(line, taken, b"{", user(3), digits, again, b"[]", taken)
    done = line.run("import", given, "--errors", "errors.ndjson")
    numbers = [int(number) for number in re.findall(r"^line (\d+):", done.err, re.MULTILINE)]
    assert numbers == [1, 2, 4, 5, 6, 7]
    assert list(errors_of(line)) == numbers


def test_a_tag_that_no_index_holds_is_a_wrong_line_and_not_a_lost_database(
    own_service: Service, line: CommandLine
) -> None:
    given = [user(1), user(2, tags=[secrets.token_hex(5000)]), user(3)]
    done = line.run("import", write(line, *given), "--errors", "errors.ndjson", "--json")
    assert (done.code, done.json["imported"], done.json["failed"]) == (1, 2, 1)
    assert errors_of(line) == {2: "refused"}
    assert {row["username"] for row in own_service.execute("SELECT username FROM users")} == {"ada_1", "ada_3"}


def test_a_dry_run_finds_the_same_and_stores_nothing(own_service: Service, line: CommandLine) -> None:
    existing = own_service.register()
    taken = user(1, email=existing["email"].upper())
    given = write(line, user(2), user(3, email="ADA.2@EXAMPLE.COM"), taken, b"{", user(4, id=existing["id"]))
    done = line.run("import", given, "--dry-run", "--errors", "errors.ndjson", "--json")
    assert (done.json["imported"], done.json["existing"], done.json["dry_run"]) == (1, 1, True)
    assert errors_of(line) == {2: "email_taken", 3: "email_taken", 4: "malformed_line"}
    assert len(own_service.execute("SELECT id FROM users")) == 1


def test_the_file_that_is_read_is_not_written(own_service: Service, line: CommandLine) -> None:
    name = write(line, user(1))
    before = (line.folder / name).read_bytes()
    assert line.run("import", name, "--errors", f"./{name}", "--json").failure[:2] == (2, "usage")
    assert (line.folder / name).read_bytes() == before


# --- existing accounts


def test_an_address_is_stored_in_its_one_spelling(own_service: Service, line: CommandLine) -> None:
    """``--any-names`` keeps the spelling in the file. A second import finds the account that the first one made."""
    typed = "Ada@ｅxample.com"
    for _ in range(2):
        assert line.run("import", write(line, user(1, email=typed))).code == 0
    assert own_service.execute("SELECT email FROM users") == [{"email": "Ada@example.com"}]
    assert line.run("user", "show", typed).code == 0
    kept = write(line, user(2, email="Grace@ｅxample.com"))
    assert line.run("import", kept, "--any-names").code == 0
    assert {"email": "Grace@ｅxample.com"} in own_service.execute("SELECT email FROM users")


def test_names_have_no_unseen_characters(own_service: Service, line: CommandLine) -> None:
    file = write(line, user(1, first_name="Ada\u202e"))
    assert line.run("import", file).code != 0
    assert line.run("import", file, "--any-names").code == 0
    assert own_service.execute("SELECT first_name FROM users") == [{"first_name": "Ada\u202e"}]


def test_update_overwrites_and_ends_sessions(own_service: Service, line: CommandLine) -> None:
    found = own_service.register(tags=["kept"], metadata={"a": 1})
    token = own_service.log_in(found["email"])
    changed = {**user(1), "id": found["id"], "secret": ARGON2_DEFAULT, "metadata": {"b": 2}}
    done = line.run("import", write(line, changed), "--on-conflict", "update", "--json")
    assert done.json["updated"] == 1, done.err
    (row,) = own_service.execute("SELECT email, tags, metadata, verified_at FROM users")
    assert row == {"email": "Ada.1@example.com", "tags": ["kept"], "metadata": {"b": 2}, "verified_at": None}
    assert own_service.call("view_profile", token=token).status == 401
    own_service.log_in("ada_1")


def test_update_takes_no_administrator_away(own_service: Service, line: CommandLine) -> None:
    administrator, _ = own_service.administrator()
    lines = [user(1, id=administrator, role="user"), user(1, id=administrator, status="deleted"), user(2)]
    done = line.run("import", write(line, *lines), "--on-conflict", "update", "--errors", "errors.ndjson", "--json")
    assert (done.json["imported"], done.json["updated"]) == (1, 0)
    assert errors_of(line) == {1: "protected", 2: "protected"}
    assert own_service.execute("SELECT status FROM users WHERE role = 1") == [{"status": 0}]


# --- the administrators of both installations


def installed(service: Service) -> str:
    """Insert the administrator that bootstrap makes in every installation. Return its id."""
    administrator, _ = service.administrator()
    service.execute("UPDATE users SET email = 'admin@example.com', username = 'admin' WHERE id = %s", administrator)
    return administrator


def administrators_of(service: Service) -> list[dict[str, Any]]:
    return service.execute("SELECT id, email, username, first_name FROM users WHERE role = 1 AND status = 0")


SOURCE = "11111111-1111-4111-8111-111111111111"


def theirs(**changes: Any) -> dict[str, Any]:
    """Return the administrator of the installation that wrote the file."""
    names = {"email": "Admin@example.com", "credentials": {"username": "admin"}}
    return user(1, **{"id": SOURCE, "role": "admin", "status": "enabled", **names, **changes})


def test_the_sources_administrator_is_left_out(own_service: Service, line: CommandLine) -> None:
    here = installed(own_service)
    for options in ([], ["--dry-run"]):
        done = line.run("import", write(line, theirs(), user(2)), "--json", *options)
        assert (done.code, done.json["existing"], done.json["failed"]) == (0, 1, 0), done.err
        assert "line 1: left out" in done.err
        assert "--on-conflict update" in done.err
        assert [each["id"] for each in administrators_of(own_service)] == [here]
        own_service.execute("DELETE FROM users WHERE id <> %s", here)


@pytest.mark.parametrize("names", [{}, {"email": "other@example.com"}, {"credentials": {"username": "chief"}}])
def test_the_sources_administrator_takes_the_place(
    own_service: Service, line: CommandLine, names: dict[str, Any]
) -> None:
    """Other services use the id in the file. If the file has no hash, the password of this installation stays."""
    here = installed(own_service)
    token = own_service.log_in("admin@example.com")
    own_service.execute("DELETE FROM users_outbox")
    given = write(line, theirs(**names), user(2))
    rehearsed = line.run("import", given, "--on-conflict", "update", "--json", "--dry-run")
    assert (rehearsed.code, rehearsed.json["updated"]) == (0, 1)
    assert [each["id"] for each in administrators_of(own_service)] == [here]
    done = line.run("import", given, "--on-conflict", "update", "--json")
    assert (done.code, done.json["updated"], done.json["imported"]) == (0, 1, 1), done.err
    expected = theirs(**names)
    assert administrators_of(own_service) == [
        {
            "id": SOURCE,
            "email": expected["email"],
            "username": expected["credentials"]["username"],
            "first_name": "Ada",
        }
    ]
    assert own_service.call("view_profile", token=token).status == 401
    own_service.execute("UPDATE users SET verified_at = now() WHERE id = %s", SOURCE)
    token = own_service.log_in(expected["email"])
    assert own_service.call("list_users", token=token).status == 200
    outbox = own_service.execute(
        "SELECT channel, name, payload FROM users_outbox WHERE user_id = %s ORDER BY seq", here
    )
    recorded = [(row["channel"], row["name"]) for row in outbox if row["channel"] != "revocation"]
    assert recorded == [("event", "user.purge"), ("relation", "settle")]
    assert outbox[0]["payload"]["id"] == here
    again = line.run("import", given, "--on-conflict", "update", "--json").json
    assert (again["updated"], again["imported"], again["failed"]) == (2, 0, 0)


def test_nothing_is_kept_of_the_administrator_that_was_replaced(own_service: Service, line: CommandLine) -> None:
    """Nothing is kept of any account that is removed for good. Auth forgets its refresh tokens as well."""
    here = installed(own_service)
    own_service.log_in("admin@example.com")
    own_service.execute("DELETE FROM users_outbox")
    payload = '{"email": "admin@example.com"}'
    own_service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
        " VALUES (%s, %s, 'mail', 'password_changed', %s)",
        *(str(uuid.uuid4()), here, payload),
    )
    own_service.execute(
        "INSERT INTO users_throttle (key, user_id, hits, expires_at, hit_at)"
        " VALUES ('login:x:y', %s, 1, now() + interval '1 hour', now())",
        here,
    )
    done = line.run("import", write(line, theirs()), "--on-conflict", "update", "--json")
    assert (done.code, done.json["updated"]) == (0, 1), done.err
    outbox = own_service.execute("SELECT channel, name, payload FROM users_outbox WHERE user_id = %s", here)
    assert {row["channel"] for row in outbox} == {"event", "relation", "revocation"}
    assert "admin@example.com" not in json.dumps([row["payload"] for row in outbox])
    assert own_service.execute("SELECT FROM users_throttle WHERE user_id = %s", here) == []


def test_one_line_takes_the_place_and_the_password(own_service: Service, line: CommandLine) -> None:
    """The second line is another person, with the username that the first line freed."""
    here = installed(own_service)
    other = theirs(id=str(uuid.uuid4()), email="second@example.com")
    given = write(line, theirs(credentials={"username": "chief"}), other)
    done = line.run("import", given, "--on-conflict", "update", "--json")
    assert (done.json["updated"], done.json["imported"]) == (1, 1), done.err
    kept = own_service.execute("SELECT id, secret IS NOT NULL AS has_password FROM users WHERE role = 1")
    assert {row["id"]: row["has_password"] for row in kept} == {SOURCE: True, other["id"]: False}
    purged = own_service.execute("SELECT FROM users_outbox WHERE user_id = %s AND name = 'user.purge'", here)
    assert len(purged) == 1


def test_with_its_hash_the_password_is_the_sources(own_service: Service, line: CommandLine) -> None:
    installed(own_service)
    own_service.execute("UPDATE users SET secret = 'x'")
    given = write(line, theirs(secret=ARGON2_DEFAULT))
    assert line.run("import", given, "--on-conflict", "update", "--json").json["updated"] == 1
    own_service.log_in("admin")


def test_no_administrator_goes_where_the_other_cannot_come(own_service: Service, line: CommandLine) -> None:
    """Another account has the file's username, the file's account is an ordinary user, or it is disabled."""
    here = installed(own_service)
    taken = own_service.register()["credentials"]["username"]
    given = write(
        line,
        theirs(credentials={"username": taken}),
        theirs(role="user", id=str(uuid.uuid4())),
        theirs(status="disabled"),
    )
    for options in ([], ["--dry-run"]):
        done = line.run("import", given, "--on-conflict", "update", "--errors", "errors.ndjson", "--json", *options)
        assert (done.code, done.json["updated"]) == (1, 0)
        assert errors_of(line) == dict.fromkeys((1, 2, 3), "email_taken")
        assert [each["id"] for each in administrators_of(own_service)] == [here]


def test_the_same_username_is_another_person_until_somebody_says_otherwise(
    own_service: Service, line: CommandLine
) -> None:
    here = installed(own_service)
    given = write(line, theirs(email="other@example.com"))
    done = line.run("import", given, "--errors", "errors.ndjson", "--json")
    assert (done.code, errors_of(line)) == (1, {1: "username_taken"})
    assert "--on-conflict update" in done.err
    assert [each["id"] for each in administrators_of(own_service)] == [here]
    stopped = line.run("import", write(line, theirs()), "--on-conflict", "fail", "--json")
    assert stopped.failure[:2] == (1, "refused")


def test_a_demotion_takes_the_relation_away(own_service: Service, line: CommandLine) -> None:
    """The administrator is disabled, because an enabled one is protected."""
    own_service.administrator()
    former, _ = own_service.administrator()
    assert line.run("user", "disable", former).code == 0
    own_service.execute("DELETE FROM users_outbox")
    demoted = write(line, user(1, id=former, role="user"))
    assert line.run("import", demoted, "--on-conflict", "update", "--json").json["updated"] == 1
    rows = own_service.execute("SELECT user_id, channel, name FROM users_outbox")
    assert rows == [{"user_id": former, "channel": "relation", "name": "settle"}]


def test_fail_stops_at_the_first_account_that_is_there(own_service: Service, line: CommandLine) -> None:
    existing = own_service.register()
    done = line.run("import", write(line, user(1), user(2, id=existing["id"])), "--on-conflict", "fail", "--json")
    assert done.failure[:2] == (1, "refused")
    assert "line 2" in done.failure[2]
    assert len(own_service.execute("SELECT id FROM users")) == 1


def test_events_and_relations(own_service: Service, line: CommandLine, tmp_path: Path) -> None:
    away = CommandLine.of(own_service, tmp_path, MG_SPICEDB_PORT="1")
    done = away.run("import", write(line, user(1, private_metadata={"p": "canary"})), "--events", "--json")
    assert done.json["relations_left"] == 1
    rows = own_service.execute("SELECT channel, name, payload FROM users_outbox ORDER BY seq")
    assert [(row["channel"], row["name"]) for row in rows] == [("event", "user.create"), ("relation", "settle")]
    assert rows[0]["payload"]["username"] == "ada_1"
    assert "canary" not in json.dumps(rows[0]["payload"])


# --- interruptions


@pytest.mark.long
def test_a_full_disk_leaves_the_older_export(own_service: Service, line: CommandLine) -> None:
    for _ in range(3):
        own_service.register(metadata={"x": "y" * 10_000})
    full = line.run("export", "/dev/full", "--json").failure
    assert full[:2] == (1, "disk_full")
    assert "run the same command again" in full[2]
    older = line.folder / "users.ndjson"
    older.write_text("older")
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (8192, 8192))
    done = line.run_alone("export", "users.ndjson", preexec_fn=limit)
    assert done.code == 1
    assert "File too large" in done.err
    assert older.read_text() == "older"
    assert list(line.folder.iterdir()) == [older]


@pytest.mark.parametrize("number", [pytest.param(signal.SIGKILL, marks=pytest.mark.long), signal.SIGINT])
def test_an_import_that_is_stopped_goes_on(own_service: Service, line: CommandLine, number: signal.Signals) -> None:
    """Lines come through a pipe that stays open, so that the signal arrives between two batches."""
    text = "".join(json.dumps(user(one)) + "\n" for one in range(1100))
    # A test run in the background of a shell ignores the signal, and a program would inherit that.
    process = line.start("import", "-", preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL))
    assert process.stdin
    process.stdin.write(text)
    process.stdin.flush()
    eventually(lambda: own_service.execute("SELECT count(*) FROM users")[0]["count"] == 1000, seconds=60)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "Run the same command to continue" in err
    assert own_service.execute("SELECT count(*) FROM users") == [{"count": 1000}]
    (line.folder / "users.ndjson").write_text(text)
    again = line.run("import", "users.ndjson", "--json").json
    assert (again["imported"], again["existing"], again["failed"]) == (100, 1000, 0)


@pytest.mark.long
def test_a_database_that_goes_away(own_service: Service, line: CommandLine) -> None:
    process = line.start("import", "-", "--json")
    assert process.stdin
    process.stdin.write("".join(json.dumps(user(one)) + "\n" for one in range(1100)))
    process.stdin.flush()
    eventually(lambda: own_service.execute("SELECT count(*) FROM users")[0]["count"] == 1000, seconds=60)
    with psycopg.connect(own_service.conninfo, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'users' AND pid <> pg_backend_pid()"
        )
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "Traceback" not in err
    assert json.loads(err.splitlines()[-1])["error"] == "database_unavailable"


def peak_memory(pid: int) -> int:
    """Return the peak memory in KiB since the program began, or 0 after its end.

    getrusage would include the process that was forked.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) if found else 0


@pytest.mark.long
def test_a_hundred_thousand_users_each_way(
    own_service: Service, another: Callable[..., tuple[CommandLine, Service]], line: CommandLine
) -> None:
    """It takes minutes at most on a busy machine, and the memory does not grow with the file."""
    other, _ = another(MG_SPICEDB_HOST="")
    with (line.folder / "users.ndjson").open("w") as file:
        for number in range(100_000):
            file.write(json.dumps(user(number, id=str(uuid.UUID(int=number + 1)), secret=ARGON2_WEAK)) + "\n")
    for arguments in (("import", "users.ndjson"), ("export", "export.ndjson", "--with-hashes")):
        process, peak = other.start(*arguments), 0
        while process.poll() is None:
            peak = max(peak, peak_memory(process.pid))
            time.sleep(0.1)
        process.communicate()
        assert process.returncode == 0
        assert 0 < peak < 200_000
    assert (line.folder / "export.ndjson").read_bytes().count(b"\n") == 100_000
