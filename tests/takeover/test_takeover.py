"""Taking over Magistrala's database in place (contract §6; decisions 14, 18, 19)."""

import io
import json
import uuid
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.bootstrapping import bootstrap, catalog, refused
from tests.service import ROOT, Service
from tests.takeover import upstream
from tests.takeover.upstream import add_link, add_user

USERS = 1000


@pytest.fixture
def taken(empty: Service) -> Service:
    """Return a service on a database of upstream's last release, before bootstrap."""
    upstream.make_database(empty.conninfo)
    return empty


def ledger(service: Service) -> list[dict[str, Any]]:
    return service.execute("SELECT * FROM gorp_migrations ORDER BY id")


def marked(service: Service) -> set[str]:
    return {row["id"] for row in service.execute("SELECT id FROM users WHERE case_conflict")}


def losers(rows: list[dict[str, Any]]) -> set[str]:
    """Compute without SQL the accounts to mark: all but the oldest enabled one of each folded e-mail, then username."""
    lost: set[str] = set()
    for name in ("email", "username"):
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            if row[name] is not None and row["id"] not in lost:
                groups.setdefault(row[name].lower(), []).append(row)
        for group in groups.values():
            group.sort(key=lambda row: (row["status"], row["created_at"], row["id"]))
            lost |= {row["id"] for row in group[1:]}
    return lost


# --- many users


def test_many_users(taken: Service, log_output: io.StringIO, shared_service: Service) -> None:
    upstream.fill(taken.conninfo, USERS)
    before = taken.execute("SELECT * FROM users ORDER BY id")
    done_by_upstream = ledger(taken)
    done = bootstrap()

    after = {row["id"]: row for row in taken.execute("SELECT * FROM users WHERE email <> 'root@example.com'")}
    assert len(after) == USERS
    for row in before:
        kept = {name: value for name, value in row.items() if name != "role"}
        assert {name: after[row["id"]][name] for name in kept} == kept
        assert after[row["id"]]["role"] == (row["role"] or 0)
    assert ledger(taken) == done_by_upstream
    assert catalog(taken) == catalog(shared_service)

    expected = losers(before)
    assert len(expected) == 2 * USERS // 100
    assert marked(taken) == expected
    assert {key: done[key] for key in ("accounts", "from_upstream", "case_conflicts", "bcrypt_hashes")} == {
        "accounts": USERS + 1,  # with the administrator
        "from_upstream": USERS,
        "case_conflicts": len(expected),
        "bcrypt_hashes": USERS - USERS // 100,
    }
    for kind in ("disabled", "deleted"):
        since = {row[f"{kind}_at"] for row in after.values()} - {None}
        assert done[f"{kind}_to_be_removed"] == USERS // 20
        first = datetime.fromisoformat(done[f"{kind}_removed_from"])
        assert abs(first - min(since) - timedelta(days=30)) < timedelta(seconds=1)
        assert max(since) - min(since) < timedelta(minutes=2), "all have the moment of the takeover"
    logged = log_output.getvalue()
    assert '"case_conflicts":20' in logged
    assert not [row["id"] for row in before if row["id"] in logged or row["email"] in logged], "no personal data"


def test_old_passwords_and_links_work(taken: Service) -> None:
    user = add_user(taken, email="Ada@Example.com", username="Ada.L")
    link = add_link(taken, user, "Ada@Example.com")
    admin = add_user(taken, role=1, email="root@example.com")
    external = add_user(taken, secret="", auth_provider="google")
    assert bootstrap()["administrator"] == "an administrator is there already"
    assert {row["id"] for row in taken.execute("SELECT id FROM users")} == {user, admin, external}
    for identity in ("Ada@Example.com", "ada@example.com", "Ada.L", "ADA.L"):
        token = taken.log_in(identity, upstream.PASSWORD)
        hashes = taken.execute("SELECT left(secret, 9) AS kind FROM users WHERE id = %s", user)
        assert hashes == [{"kind": "$argon2id"}]
    assert taken.call("view_profile", token=token).json["verified_at"].startswith("0001")
    verified = taken.call("verify_email", query=f"token={link}", headers={"accept": "application/json"})
    assert verified.status == 200
    profile = taken.call("view_profile", token=token).json
    assert (profile["id"], profile["verified_at"].startswith("0001")) == (user, False)
    token = taken.log_in("root@example.com", upstream.PASSWORD)
    assert taken.call("list_users", token=token, query="status=all").json["total"] == 3
    assert taken.call("issue_token", {"identity": "Ada.L", "secret": "another"}).status == 401


def test_upstreams_own_statements_still_work(taken: Service) -> None:
    """Upstream may run again or at the same time. Its rows are complete after the next bootstrap."""
    first = add_user(taken, role=1, email="root@example.com")
    bootstrap()
    user = add_user(taken, email="new@example.com")
    statements = {
        "UPDATE users SET first_name = %s, metadata = %s, updated_at = now(), updated_by = %s"
        " WHERE id = %s AND status = 0 RETURNING id, tags, secret, metadata, private_metadata, status, email": (
            *("Eve", json.dumps({"a": 1}), user, user),
        ),
        "UPDATE users SET secret = %s, updated_at = now(), updated_by = %s WHERE id = %s AND status = 0 RETURNING id": (
            *(upstream.hashed(), user, user),
        ),
        "SELECT id, email, username, secret, metadata, created_at, updated_at, first_name, last_name, status, role"
        " FROM users WHERE email = %s AND status = %s": ("new@example.com", 0),
        "INSERT INTO users_verifications (user_id, email, otp, created_at, expires_at)"
        " VALUES (%s, %s, %s, now(), now() + interval '1 day') RETURNING user_id": (user, "new@example.com", "otp"),
        "UPDATE users_verifications SET used_at = now(), otp = %s WHERE user_id = %s AND email = %s RETURNING otp": (
            *("otp", user, "new@example.com"),
        ),
        "UPDATE users SET verified_at = now() WHERE id = %s AND email = %s RETURNING id": (user, "new@example.com"),
        "UPDATE users SET status = %s, updated_at = now(), updated_by = %s WHERE id = %s RETURNING id": (1, user, user),
    }
    for statement, parameters in statements.items():
        assert len(taken.execute(statement, *parameters)) == 1, statement
    with pytest.raises(psycopg.errors.UniqueViolation, match="clients_email_key"):
        add_user(taken, email="new@example.com")

    bootstrap()
    sweep_date = "SELECT disabled_at > now() - interval '1 minute' AS fresh FROM users WHERE id = %s"
    assert taken.execute(sweep_date, user) == [{"fresh": True}]
    taken.execute("UPDATE users SET status = 0 WHERE id = %s", user)
    bootstrap()
    assert taken.execute(sweep_date, user) == [{"fresh": None}], "an enabled account has no grace period"
    taken.execute("DELETE FROM users WHERE id = %s", user)
    assert [row["id"] for row in taken.execute("SELECT id FROM users")] == [first]
    assert taken.execute("SELECT * FROM users_verifications") == []


# --- letter case


def test_names_that_differ_by_case_only(taken: Service) -> None:
    from background.setup.case_conflicts import case_conflicts

    old = add_user(taken, email="Same@x.y", created_at="2024-01-01T00:00:00Z", status=1)
    keeper = add_user(taken, email="SAME@x.y", created_at="2024-06-01T00:00:00Z", metadata='{"a": 1}')
    young = add_user(taken, email="same@x.y", username="young", created_at="2025-01-01T00:00:00Z")
    twins = sorted(str(uuid.uuid4()) for _ in range(2))
    for user_id, name in zip(twins, ("Twin", "tWIN"), strict=True):
        add_user(taken, id=user_id, username=name)
    for _ in range(2):
        add_user(taken, username=None)
    senior = add_user(taken, email="A@x.y", created_at="2020-01-01T00:00:00Z")
    loser = add_user(taken, email="a@x.y", username="Bob", created_at="2021-01-01T00:00:00Z")
    add_user(taken, username="bob", created_at="2022-01-01T00:00:00Z")  # the other Bob lost by its e-mail
    bootstrap()
    assert marked(taken) == {old, young, twins[1], loser}, "the oldest enabled one stays, then the lower id"
    listed = {one.id: one for one in case_conflicts()}
    assert {user_id: one.kept_by for user_id, one in listed.items()} == {
        **dict.fromkeys([old, young], keeper), twins[1]: twins[0], loser: senior,
    }  # fmt: skip
    assert (listed[young].email, listed[young].username, listed[young].status) == ("same@x.y", "young", 0)
    taken.execute("UPDATE users SET verified_at = now()")
    for identity, owner in {"sAmE@x.y": keeper, "same@x.y": young, "SAME@x.y": keeper, "TWIN": twins[0]}.items():
        token = taken.log_in(identity, upstream.PASSWORD)
        assert taken.call("view_profile", token=token).json["id"] == owner, identity
    assert taken.call("register_user", {}).status == 400


def test_who_shares_no_name_any_more_is_released(taken: Service) -> None:
    keeper = add_user(taken, email="SAME@x.y", created_at="2020-01-01T00:00:00Z")
    second = add_user(taken, email="same@x.y", created_at="2021-01-01T00:00:00Z")
    third = add_user(taken, email="Same@x.y", created_at="2022-01-01T00:00:00Z")
    bootstrap()
    assert marked(taken) == {second, third}
    taken.execute("UPDATE users SET email = 'other@x.y' WHERE id = %s", third)
    bootstrap()
    assert marked(taken) == {second}
    taken.execute("DELETE FROM users WHERE id = %s", keeper)
    bootstrap()
    assert marked(taken) == set()
    taken.execute("UPDATE users SET verified_at = now()")
    token = taken.log_in("SAME@X.Y", upstream.PASSWORD)
    assert taken.call("view_profile", token=token).json["id"] == second


def test_who_takes_names_of_his_own_is_released_at_once(taken: Service) -> None:
    """A name that another account has in other letter case is refused, as for any account."""
    for name in ("Ada", "Eve"):
        add_user(taken, email=f"{name}@x.y", username=name, created_at="2020-01-01T00:00:00Z")
    loser = add_user(taken, email="ADA@x.y", username="ADA")
    bootstrap()
    taken.execute("UPDATE users SET verified_at = now()")
    token = taken.log_in("ADA@x.y", upstream.PASSWORD)

    def renamed(operation: str, **body: str) -> tuple[int, str, bool]:
        answer = taken.call(operation, body, token=token, user_id=loser)
        taken.execute("UPDATE users SET verified_at = now()")
        return answer.status, answer.json.get("error", ""), loser in marked(taken)

    assert renamed("update_username", username="EVE") == (409, "username_taken", True)
    assert renamed("update_user_email", email="eVe@x.y") == (409, "email_taken", True)
    assert renamed("update_username", username="ADA") == (200, "", True), "its present username"
    assert renamed("update_user_email", email="Own@x.y") == (200, "", True), "another account still has the username"
    assert renamed("update_username", username="ada") == (409, "username_taken", True)
    assert renamed("update_username", username="Own") == (200, "", False)
    assert taken.log_in("oWn@X.y", upstream.PASSWORD)
    assert renamed("update_username", username="eve") == (409, "username_taken", False)


# --- older releases


LONG = pytest.mark.long


@pytest.mark.parametrize(
    "migration",
    ["clients_07", *(pytest.param(f"clients_{n}", marks=LONG) for n in ("08", "09", "10", "11"))],
)
def test_an_older_upstream(empty: Service, shared_service: Service, migration: str) -> None:
    upstream.make_database(empty.conninfo, migration)
    upstream.fill(empty.conninfo, 120)
    done_by_upstream = ledger(empty)
    metadata = {"ui": {"theme": "dark", "a": 2}, "admin": {"seen": True}, "a": 1}
    (row,) = empty.execute("SELECT id FROM users ORDER BY id LIMIT 1")
    empty.execute("UPDATE users SET metadata = %s WHERE id = %s", json.dumps(metadata), row["id"])
    (plain,) = empty.execute("SELECT id FROM users ORDER BY id DESC LIMIT 1")
    empty.execute("""UPDATE users SET metadata = '{"ui": "a word", "admin": 7}' WHERE id = %s""", plain["id"])
    bootstrap()
    assert catalog(empty) == catalog(shared_service)
    assert ledger(empty) == done_by_upstream
    found = empty.execute("SELECT metadata FROM users WHERE id = %s", row["id"])[0]["metadata"]
    if migration == "clients_11":  # this migration has done the first step
        assert found == {"ui": {"theme": "dark", "a": 2}, "seen": True, "a": 1}
    else:
        assert found == {"theme": "dark", "a": 2, "seen": True}
    kept = empty.execute("SELECT metadata FROM users WHERE id = %s", plain["id"])[0]["metadata"]
    assert kept == {"ui": "a word", "admin": 7}, "only objects are flattened"


@pytest.mark.long
def test_metadata_of_the_last_upstream_is_left_alone(taken: Service) -> None:
    user = add_user(taken, metadata='{"ui": {"a": 1}, "admin": {"b": 2}}')
    bootstrap()
    (row,) = taken.execute("SELECT metadata FROM users WHERE id = %s", user)
    assert row["metadata"] == {"ui": {"a": 1}, "admin": {"b": 2}}


@pytest.mark.long
def test_a_copy_of_upstreams_tables_without_its_ledger(taken: Service, shared_service: Service) -> None:
    taken.execute("DROP TABLE gorp_migrations")
    taken.execute("DROP TABLE users_verifications")
    add_user(taken, email="root@example.com", role=1)
    bootstrap()
    assert catalog(taken) == catalog(shared_service)


# --- earlier versions of this service

# The statements of revision 0002 before indexes were built concurrently.
OWN_0002 = """
ALTER TABLE users
    ADD COLUMN tokens_valid_from TIMESTAMPTZ,
    ADD COLUMN secret_changed_at TIMESTAMPTZ,
    ADD COLUMN disabled_at TIMESTAMPTZ,
    ADD COLUMN deleted_at TIMESTAMPTZ,
    ADD COLUMN purging_at TIMESTAMPTZ,
    ADD COLUMN case_conflict BOOLEAN NOT NULL DEFAULT false;
CREATE UNIQUE INDEX users_email_folded_key ON users (lower(email)) WHERE NOT case_conflict;
CREATE UNIQUE INDEX users_username_folded_key ON users (lower(username)) WHERE NOT case_conflict;
UPDATE users_migrations SET version_num = '0002'
"""


VERSIONS = sorted(
    path.name[:4] for path in (ROOT / "layers/background/python/background/setup/migrations/versions").glob("0*.py")
)


@pytest.mark.parametrize(
    "version", ["0002 as it was", *(pytest.param(version, marks=LONG) for version in VERSIONS[:-1])]
)
@pytest.mark.parametrize(
    "from_upstream", [pytest.param(False, id="own", marks=LONG), pytest.param(True, id="taken over")]
)
def test_our_own_earlier_versions(empty: Service, shared_service: Service, version: str, from_upstream: bool) -> None:
    from background.setup.schema import migrate

    if from_upstream:
        upstream.make_database(empty.conninfo)
        upstream.fill(empty.conninfo, 120)
    migrate("0001" if version == "0002 as it was" else version)
    if version == "0002 as it was":
        empty.execute("UPDATE users SET email = id || '@x.y', username = NULL")  # so that no account conflicts
        for statement in OWN_0002.split(";"):
            empty.execute(statement)
    user = add_user(empty, email="Ada@x.y")
    if version >= "0003":
        empty.execute(
            "INSERT INTO users_outbox (id, user_id, channel, name, payload) VALUES (%s, %s, 'event', 'user.x', '{}')",
            uuid.uuid4(),
            user,
        )
    bootstrap()
    assert catalog(empty) == catalog(shared_service)
    assert empty.log_in("ada@X.Y", upstream.PASSWORD)
    if version >= "0003":
        assert empty.execute("SELECT 1 FROM users_outbox WHERE name = 'user.x'")


# --- other databases


def test_an_upstream_that_is_too_old(empty: Service) -> None:
    upstream.make_database(empty.conninfo, "clients_06")
    before = catalog(empty)
    with refused("clients_07"):
        bootstrap()
    assert catalog(empty) == before


def test_somebody_elses_database(empty: Service) -> None:
    for made, message in {
        "TABLE users (id SERIAL PRIMARY KEY, login TEXT)": "not Magistrala's.*MG_USERS_DB_NAME",
        "VIEW users AS SELECT 1 AS one": "not Magistrala's",
        "TABLE gorp_migrations (id text PRIMARY KEY, applied_at timestamptz)": "no table users",
    }.items():
        empty.execute(f"CREATE {made}")
        before = catalog(empty)
        with refused(message):
            bootstrap()
        assert catalog(empty) == before, "nothing was changed"
        empty.execute(f"DROP {' '.join(made.split()[:2])}")


@pytest.mark.long
def test_a_column_that_somebody_added_and_nobody_will_fill(taken: Service) -> None:
    taken.execute("ALTER TABLE users ADD COLUMN tenant TEXT NOT NULL")
    with refused("column tenant"):
        bootstrap()
    taken.execute("ALTER TABLE users ALTER COLUMN tenant SET DEFAULT ''")
    assert bootstrap()["administrator"] == "made the administrator"
