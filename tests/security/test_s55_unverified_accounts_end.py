"""S55 A self-registered account that nobody verifies is removed, after a reminder; no other account is."""

import uuid
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from background.removal import unverified_accounts
from background.removal.due import count_due, due_accounts
from background.removal.sweep import sweep
from background.repository.removals import UNVERIFIED_DUE
from local.parts.mail import MailServer
from tests.cli.command_line import CommandLine
from tests.deliveries import mails_to
from tests.domains_server import domains
from tests.people import deliver, mails, person, relations
from tests.service import Service, handler, lambda_context
from users.peers import spicedb

HALF = 84 * 3600  # seconds: MG_USERS_UNVERIFIED_AFTER is 168h


def swept(**counts: int) -> None:
    """Run the sweep, and hold what it counted against ``counts``."""
    counted = handler("sweep_accounts")({}, lambda_context())
    assert counted == {"swept": 0, "failed": 0, "warned": 0, "reminded": 0, "forgotten": 0, "left": 0} | counts


def registered(
    service: Service, ago: float = 2 * HALF + 60, *, reminded: float | None = HALF + 60, **columns: Any
) -> str:
    """The id of an account that registered itself ``ago`` seconds ago and was reminded ``reminded`` seconds ago."""
    user_id = str(uuid.uuid4())
    values = {"id": user_id, "email": f"{user_id}@example.com", "self_registered": True, **columns}
    names, holes = ", ".join(values), ", ".join(["%s"] * len(values))
    service.execute(
        f"INSERT INTO users (first_name, last_name, created_at, verification_reminded_at, {names})"
        f" VALUES ('Ada', 'Lovelace', now() - %s * interval '1 second', now() - %s * interval '1 second', {holes})",
        ago, reminded, *values.values(),
    )  # fmt: skip
    return user_id


def there(service: Service) -> set[str]:
    return {each["id"] for each in service.execute("SELECT id FROM users")}


def test_s55_exactly_those_that_registered_themselves_and_were_never_verified(own_service: Service) -> None:
    service = own_service
    gone = {registered(service), registered(service, 100 * HALF, reminded=10 * HALF)}
    registered(service, verified_at="2026-01-01")
    registered(service, role=1)
    registered(service, self_registered=False)
    registered(service, 2 * HALF - 60)
    registered(service, reminded=HALF - 60)
    stay = there(service) - gone
    assert {account.id for account in due_accounts(10)} == gone
    assert {account.kind for account in due_accounts(10)} == {"unverified"}
    assert count_due() == {"deleted": 0, "disabled": 0, "unverified": 2, "begun": 0}
    swept(swept=2)
    assert there(service) == stay
    told = service.execute("SELECT user_id, payload->>'id' AS id FROM users_outbox WHERE name = 'user.purge'")
    assert {each["id"] for each in told} == {each["user_id"] for each in told} == gone
    swept()


@pytest.mark.parametrize(
    "setting", [{"MG_ALLOW_UNVERIFIED_USER": "true"}, {"MG_USERS_UNVERIFIED_AFTER": "0s"}], ids=str
)
def test_s55_none_where_the_settings_say_so(own_service: Service, setting: dict[str, str]) -> None:
    registered(own_service)
    waiting = registered(own_service, reminded=None)
    with own_service.configured(**setting):
        assert count_due()["unverified"] == 0
        assert due_accounts(10) == []
        swept()
    assert mails(own_service, waiting) == []
    assert len(there(own_service)) == 2


def test_s55_a_reminder_comes_half_way_and_once(own_service: Service, mail_server: MailServer) -> None:
    service = own_service
    registered(service, HALF - 60, reminded=None)
    half = registered(service, HALF + 60, reminded=None, username="ada_l")
    swept(reminded=1)
    swept()
    assert mails(service, half) == [("verification_reminder", f"{half}@example.com")]
    service.deliver()
    (mail,) = mails_to(mail_server.url, f"{half}@example.com")
    assert mail.subject == "Your account will be removed unless you confirm it"
    assert "Username: ada_l" in mail.text
    answer = service.call("verify_email", query=f"token={mail.token}", headers={"accept": "application/json"})
    assert answer.status == 200
    service.execute("UPDATE users SET verification_reminded_at = now() - interval '1 year' WHERE id = %s", half)
    swept()
    assert half in there(service)


def test_s55_no_account_goes_before_its_reminder(own_service: Service) -> None:
    """Where unverified accounts were allowed for a year, the first run after that removes none."""
    service = own_service
    old = registered(service, 365 * 24 * 3600, reminded=None)
    swept(reminded=1)
    half_time = "UPDATE users SET verification_reminded_at = now() - %s * interval '1 second' WHERE id = %s"
    service.execute(half_time, HALF + 60, old)
    swept()  # the reminder was not sent yet
    assert old in there(service)
    deliver("mail")
    swept(swept=1)
    assert there(service) == set()


def test_s55_a_new_address_gets_a_reminder_of_its_own(own_service: Service) -> None:
    """Who notices late that the address was mistyped does not lose the account the moment it is corrected."""
    ada = person(own_service, verified=False)
    own_service.execute(
        "UPDATE users SET created_at = now() - interval '167 hours',"
        " verification_reminded_at = now() - interval '84 hours' WHERE id = %s", ada.id,
    )  # fmt: skip
    corrected = f"corrected-{ada.email}"
    assert own_service.call("update_user_email", {"email": corrected}, token=ada.token, user_id=ada.id).status == 200
    own_service.execute("UPDATE users SET created_at = created_at - interval '2 hours' WHERE id = %s", ada.id)
    swept(reminded=1)
    assert ("verification_reminder", corrected) in mails(own_service, ada.id)
    own_service.execute("DELETE FROM users_outbox")
    own_service.execute("UPDATE users SET verification_reminded_at = now() - interval '85 hours'")
    swept(swept=1)


def test_s55_a_mail_that_cannot_be_sent_keeps_no_account(own_service: Service) -> None:
    """Behind a parked mail the reminder would wait for ever, and the account would hold its address for ever."""
    due = registered(own_service, reminded=None)
    swept(reminded=1)
    own_service.execute("UPDATE users SET verification_reminded_at = now() - %s * interval '1 second'", HALF + 60)
    swept()
    own_service.execute(
        "UPDATE users_outbox SET parked_at = now() WHERE user_id = %s AND name = 'verification_reminder'", due
    )
    swept(swept=1)


def test_s55_a_reminder_of_an_account_that_is_verified_meanwhile_is_not_sent(
    own_service: Service, mail_server: MailServer
) -> None:
    half = registered(own_service, HALF + 60, reminded=None)
    swept(reminded=1)
    own_service.execute("UPDATE users SET verified_at = now() WHERE id = %s", half)
    deliver("mail")
    assert mails_to(mail_server.url, f"{half}@example.com") == []


def test_s55_an_account_that_is_verified_during_its_removal_stays(own_service: Service) -> None:
    """One of two is verified, another one promoted, after its relations were taken away: both get them back."""
    service = own_service
    verified, promoted, gone = (registered(service) for _ in range(3))
    for user_id in (verified, promoted, gone):
        spicedb.grant(user_id, 0)
    changes = {verified: "verified_at = now()", promoted: "role = 1"}

    def answer(user_id: str, _context: grpc.ServicerContext) -> bool:
        if user_id in changes:
            service.execute(f"UPDATE users SET {changes[user_id]} WHERE id = %s", user_id)
        return True

    with domains(answer) as url, service.configured(MG_DOMAINS_GRPC_URL=url):
        swept(swept=1)
    assert there(service) == {verified, promoted}
    assert relations(service, verified) == set()
    service.deliver()
    assert relations(service, verified) == {"member"}
    assert relations(service, promoted) == {"member", "administrator"}
    assert relations(service, gone) == set()


def test_s55_whose_removal_fails_holds_up_no_other(own_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unverified_accounts, "BATCH", 2)
    service = own_service
    refused = {registered(service, (4 + n) * HALF) for n in range(3)}
    others = {registered(service) for _ in range(3)}
    with domains(lambda user_id, _: user_id not in refused) as url, service.configured(MG_DOMAINS_GRPC_URL=url):
        swept(swept=3, failed=3, left=3)
        assert there(service) == refused
        assert not there(service) & others
    swept(swept=3)


def test_s55_time_that_is_up_leaves_the_rest(own_service: Service) -> None:
    for _ in range(3):
        registered(own_service)
    registered(own_service, reminded=None)
    assert sweep(lambda: False) == {"swept": 0, "failed": 0, "warned": 0, "reminded": 0, "forgotten": 0, "left": 3}
    swept(swept=3, reminded=1)


def test_s55_the_command_line_shows_what_is_due(own_service: Service, tmp_path: Path) -> None:
    due = registered(own_service)
    shown = CommandLine.of(own_service, tmp_path).run("sweep", "--dry-run", "--json").json
    assert shown["counts"]["unverified"] == 1
    assert [(each["id"], each["kind"]) for each in shown["due"]] == [(due, "unverified")]
    assert due in there(own_service)


def test_s55_the_due_are_found_by_an_index(own_service: Service) -> None:
    statement = f"EXPLAIN SELECT u.id FROM users u WHERE {UNVERIFIED_DUE} ORDER BY u.created_at, u.id LIMIT 500"
    with psycopg.connect(own_service.conninfo) as connection:
        connection.execute("SET enable_seqscan = off")  # a table of no rows would be read whole
        plan = "\n".join(line for (line,) in connection.execute(statement, {"unverified": 1.0}))
    assert "Index Scan using users_never_verified" in plan, plan


def test_s55_reminders_that_wait_do_not_multiply_the_work(own_service: Service) -> None:
    """Each account that may be due asks for its own reminder, whatever the statistics say of a table that changes."""
    fill = """
        INSERT INTO users_outbox (id, user_id, channel, name, payload)
        SELECT gen_random_uuid(), gen_random_uuid()::text, %s, %s, '{}' FROM generate_series(1, 5000)"""
    own_service.execute(
        "INSERT INTO users (id, email, first_name, last_name, self_registered, created_at, verification_reminded_at)"
        " SELECT gen_random_uuid(), n || '@example.com', '', '', true, '2020-01-01', '2020-01-01'"
        " FROM generate_series(1, 5000) n"
    )
    own_service.execute(fill, "event", "user.create")
    own_service.execute("ANALYZE users, users_outbox")
    own_service.execute(fill, "mail", "verification_reminder")
    statement = f"EXPLAIN SELECT u.id FROM users u WHERE {UNVERIFIED_DUE} ORDER BY u.created_at, u.id LIMIT 500"
    with psycopg.connect(own_service.conninfo) as connection:
        plan = "\n".join(line for (line,) in connection.execute(statement, {"unverified": 1.0}))
    assert "Join" not in plan, plan
    assert "on users_outbox o" in plan, plan
    assert "(user_id)::text = (u.id)::text" in plan, plan
