"""S53 Notices go to verified addresses, mails are counted as they are sent, and addresses change five times a day."""

import io
import re
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg
import pytest

from background.delivery.ports import Row
from background.mail import limits
from background.repository import mails as mails_repository
from tests.parallel import Environments
from tests.people import NEW_PASSWORD, Person, administrator, deliver, mail_token, mails, person, row
from tests.service import Answer, Service, eventually
from tests.smtp_server import SmtpServer, smtp_server
from users.repository.outbox import record
from users.rules.mailboxes import mailbox_digest
from users.rules.outbox_records import Record, notice_mail

_ROWS = "SELECT seq, id::text, user_id, channel, name, payload FROM users_outbox WHERE channel = 'mail' ORDER BY seq"
HOUR, DAY = 5, 20  # of a kind of notice, to a mailbox
LINKS = 10  # of a kind with a link, in an hour


def fresh() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def change(service: Service, who: Person, email: str, *, of: Person | None = None) -> Answer:
    return service.call("update_user_email", {"email": email}, token=who.token, user_id=(of or who).id)


def notices(service: Service, who: Person) -> list[str]:
    """Whom an account's notices of a changed address are to, in order."""
    return [email for name, email in mails(service, who.id) if name == "email_changed"]


def write(user_id: str, email: str, *, name: str = "password_changed") -> None:
    """A notice as a change writes it."""
    record(user_id, [Record(channel="mail", name=name, payload={"email": email})])


def purge(service: Service, boss: Person, user_id: str) -> int:
    """Have an administrator remove an account at once; the status."""
    return service.call("delete_user", token=boss.token, user_id=user_id, query="purge=true").status


def make_due(service: Service) -> None:
    service.execute("UPDATE users_outbox SET next_attempt_at = now()")


# ------------------------------------------------------------------------------------------------ verified addresses


def test_s53_a_stranger_gets_no_notices_of_changes_back_and_forth(service: Service) -> None:
    """An attacker changes to a stranger's address and away from it: one verification mail, and no notice."""
    mallory, victim = person(service), fresh()
    for number in range(2):
        assert change(service, mallory, victim).status == 200
        assert change(service, mallory, f"{number}-{mallory.email}").status == 200
    assert [each for each in mails(service, mallory.id) if each[1] == victim] == [("verification", victim)]
    assert notices(service, mallory) == [mallory.email]


def test_s53_the_notice_goes_to_the_address_that_was_verified_when_it_changed(
    service: Service, environments: Environments
) -> None:
    """Eight changes at once: the first one finds a verified address, all others the new ones of those before."""
    ada = person(service)
    calls = [
        {"operation": "update_user_email", "body": {"email": fresh()}, "token": ada.token, "user_id": ada.id}
        for _ in range(8)
    ]
    answers = environments.call(service, calls)
    assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 3
    assert notices(service, ada) == [ada.email]
    assert row(service, ada.id)["verified_at"] is None


@pytest.mark.parametrize("verified", [True, False])
def test_s53_of_a_disabled_account(service: Service, verified: bool) -> None:
    ada, boss = person(service, verified=verified), administrator(service)
    assert service.call("disable_user", token=boss.token, user_id=ada.id).status == 200
    assert [each for each in mails(service, ada.id) if each[0] != "verification"] == (
        [("account_disabled", ada.email)] if verified else []
    )


@pytest.mark.parametrize("verified", [True, False])
def test_s53_of_a_changed_password(service: Service, verified: bool) -> None:
    with service.configured(MG_ALLOW_UNVERIFIED_USER="true"):
        ada = person(service, verified=verified)
        body = {"old_secret": ada.secret, "new_secret": NEW_PASSWORD}
        assert service.call("update_user_secret", body, token=ada.token).status == 200
    assert (("password_changed", ada.email) in mails(service, ada.id)) is verified


def test_s53_who_reset_a_password_has_read_the_mailbox(service: Service) -> None:
    """The notice of a reset goes to the mailbox whose link was used, verified before or not."""
    ada = person(service, verified=False)
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    token = mail_token(service, ada, "password_reset")
    assert service.call("reset_password", body, token=token).status == 201
    assert ("password_changed", ada.email) in mails(service, ada.id)


@pytest.mark.parametrize("case", ["verified", "unverified", "another address", "nobody"])
def test_s53_a_notice_that_belongs_to_no_change(service: Service, case: str) -> None:
    ada = person(service, verified=case != "unverified")
    email = fresh() if case == "another address" else ada.email
    user_id = str(uuid.uuid4()) if case == "nobody" else ada.id
    record(user_id, [notice_mail("password_changed", email, at=datetime.now(UTC))])
    told = [each for each in mails(service, user_id) if each[0] == "password_changed"]
    assert told == ([("password_changed", email)] if case == "verified" else [])


# ------------------------------------------------------------------------------------------------ five changes a day


def test_s53_an_address_changes_five_times_a_day(service: Service) -> None:
    ada = person(service)
    for _ in range(5):
        assert change(service, ada, fresh()).status == 200
    kept = row(service, ada.id)["email"]
    answer = change(service, ada, fresh())
    assert answer.error == (429, "too_many_requests")
    assert 0 < int(answer.headers["Retry-After"]) <= 24 * 3600
    assert row(service, ada.id)["email"] == kept
    service.execute("UPDATE users_throttle SET expires_at = now() WHERE key = %s", f"email:{ada.id}")
    assert change(service, ada, fresh()).status == 200


def test_s53_a_refused_change_is_not_counted(service: Service) -> None:
    ada, bob = person(service), person(service)
    for _ in range(6):
        assert change(service, ada, bob.email).error == (409, "email_taken")
        assert change(service, ada, "nobody").error == (400, "invalid_email")
        assert change(service, ada, ada.email).error == (400, "same_email")
    assert change(service, ada, fresh()).status == 200


def test_s53_an_administrator_helps_whom_somebody_else_locked_out(service: Service) -> None:
    """Whoever used up an account's changes does not keep its owner from getting it back."""
    ada, boss = person(service), administrator(service)
    for _ in range(5):
        assert change(service, ada, fresh()).status == 200
    for _ in range(6):
        assert change(service, boss, fresh(), of=ada).status == 200
    assert change(service, boss, ada.email, of=ada).status == 200
    assert change(service, ada, fresh()).status == 429


def test_s53_an_administrator_is_limited_at_its_own_account(service: Service) -> None:
    boss = administrator(service)
    assert [change(service, boss, fresh()).status for _ in range(6)] == [200] * 5 + [429]


# ------------------------------------------------------------------------------------------------ counted as sent


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with smtp_server() as running:
        yield running


@pytest.fixture
def mailing(own_service: Service, server: SmtpServer) -> Iterator[Service]:
    """The relay sends by a mail server."""
    with own_service.configured(
        MG_EMAIL_HOST="127.0.0.1", MG_EMAIL_PORT=str(server.port), MG_USERS_VERIFY_ON_REGISTER="false"
    ):
        yield own_service


def test_s53_many_accounts_cannot_flood_one_mailbox(mailing: Service, server: SmtpServer) -> None:
    """Spellings of a taken-over database lead to one mailbox, and count as one."""
    spellings = ["Ada@bücher.example", "ada@xn--bcher-kva.example", "ADA@BÜCHER.example", "Ada <ada@bücher.example>"]
    for number in range(HOUR + 3):
        write(mailing.register()["id"], spellings[number % len(spellings)])
    assert deliver("mail")["delivered"] == HOUR + 3
    assert len(server.received) == HOUR


def test_s53_what_is_left_out_is_counted_as_a_metric(mailing: Service, capsys: pytest.CaptureFixture[str]) -> None:
    user = mailing.register()
    for _ in range(HOUR + 2):
        write(user["id"], user["email"])
    capsys.readouterr()
    mailing.deliver()
    output = capsys.readouterr().out
    assert '"MailsLimited":[2.0]' in output
    assert f'"MailsSent":[{HOUR}.0]' in output


def test_s53_a_flood_of_one_kind_hides_no_other(mailing: Service, server: SmtpServer) -> None:
    user = mailing.register()
    for _ in range(3 * HOUR):
        write(user["id"], user["email"], name="email_changed")
    write(user["id"], user["email"], name="password_changed")
    deliver("mail")
    subjects = [mail.message["Subject"] for mail in server.received]
    assert subjects == ["Your e-mail address was changed"] * HOUR + ["Your password was changed"]


def test_s53_an_hour_and_a_day(mailing: Service, server: SmtpServer) -> None:
    user = mailing.register()
    for hour in range(1, 6):
        for _ in range(HOUR + 1):
            write(user["id"], user["email"])
        deliver("mail")
        assert len(server.received) == min(hour * HOUR, DAY)
        mailing.execute("UPDATE users_throttle SET expires_at = now() WHERE key LIKE '%%:sent-hour:%%'")
    mailing.execute("UPDATE users_throttle SET expires_at = now()")
    write(user["id"], user["email"])
    deliver("mail")
    assert len(server.received) == DAY + 1


def test_s53_who_registers_again_after_a_purge_sends_no_further_mail(mailing: Service, server: SmtpServer) -> None:
    victim, boss = fresh(), administrator(mailing)
    with mailing.configured(MG_USERS_VERIFY_ON_REGISTER="true"):
        for _ in range(3):
            user = mailing.register(email=victim)
            deliver("mail")
            assert purge(mailing, boss, user["id"]) == 204
    assert len([mail for mail in server.received if mail.to == [victim]]) == 1


def test_s53_a_purge_does_not_end_the_limit_of_sent_mails(mailing: Service, server: SmtpServer) -> None:
    victim, boss = fresh(), administrator(mailing)
    for _ in range(2):
        user = mailing.register(email=victim)
        for _ in range(HOUR):
            write(user["id"], victim)
        deliver("mail")
        assert purge(mailing, boss, user["id"]) == 204
    assert len([mail for mail in server.received if mail.to == [victim]]) == HOUR


def test_s53_a_mail_that_is_tried_again_is_counted_once(mailing: Service, server: SmtpServer) -> None:
    user = mailing.register()
    write(user["id"], user["email"])
    server.rcpt_answers[user["email"]] = "450 later"
    for _ in range(HOUR + 1):
        assert deliver("mail")["refused"] == 1
        make_due(mailing)
    with mailing.configured(MG_EMAIL_PORT="1"):  # nobody listens there
        assert deliver("mail")["unavailable"] == 1
    server.rcpt_answers.clear()
    assert deliver("mail")["delivered"] == 1
    assert len(server.received) == 1
    hits = mailing.execute("SELECT hits FROM users_throttle WHERE key LIKE 'mail:password_changed:%%'")
    assert [each["hits"] for each in hits] == [1, 1]


@pytest.mark.parametrize("name", ["password_reset", "invitation"])
def test_s53_who_asks_all_day_keeps_no_link_from_its_owner(mailing: Service, server: SmtpServer, name: str) -> None:
    """Anybody may ask five times an hour (S12): in a day that is 25 of these hours, two of them cut short."""
    user = mailing.register()
    write(user["id"], "", name=name)
    deliver("mail")
    mailing.execute("UPDATE users_throttle SET hits = 25 * 5 WHERE key LIKE '%%:sent-day:%%'")
    write(user["id"], "", name=name)
    deliver("mail")
    assert len(server.received) == 2


@pytest.mark.parametrize("name", ["password_reset", "invitation"])
@pytest.mark.parametrize("fate", ["over the limit", "refused"])
def test_s53_a_link_that_is_not_sent_ends_no_older_one(
    mailing: Service, server: SmtpServer, name: str, fate: str
) -> None:
    """Else whoever asks for mails in somebody's name takes the link away that its owner has."""
    user = mailing.register()
    for _ in range(LINKS if fate == "over the limit" else 1):
        write(user["id"], "", name=name)
    deliver("mail")
    if fate == "refused":
        server.rcpt_answers[user["email"]] = "550 no"
    write(user["id"], "", name=name)
    assert deliver("mail")["delivered"] == (fate == "over the limit")
    newest = server.received[-1].message.get_body(("plain",)).get_content()
    (token,) = set(re.findall(r"mg(?:reset|invite)_[\w-]+", newest))
    body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
    assert mailing.call("reset_password", body, token=token).status == 201


def test_s53_two_relays_at_once_share_the_last_place(mailing: Service, server: SmtpServer) -> None:
    """One has counted its mail and not committed when the other one comes: it waits, and finds no place left."""
    user = mailing.register()
    for _ in range(HOUR - 1):
        write(user["id"], user["email"])
    deliver("mail")
    for _ in range(2):
        write(user["id"], user["email"])
    first, second = (Row(attempts=1, **each) for each in mailing.execute(_ROWS))
    with ThreadPoolExecutor(1) as other, psycopg.connect(mailing.conninfo) as relay:
        limit = limits.limit_of(first.name)
        parameters = {"seq": first.seq, "kind": first.name, "mailbox": mailbox_digest(user["email"])}
        most = {"hour": limit.hour, "day": limit.day}
        (allowed,) = relay.execute(mails_repository._COUNT_MAIL.text, parameters | most).fetchone() or ()
        waiting = other.submit(limits.count_mail, second, user["email"])
        eventually(lambda: mailing.execute("SELECT pid FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"))
        relay.commit()
        assert (allowed, waiting.result()) == (True, False)


def test_s53_nothing_of_it_is_told_or_logged(mailing: Service, log_output: io.StringIO) -> None:
    user = mailing.register()
    for _ in range(HOUR + 1):
        write(user["id"], user["email"])
    assert deliver("mail") == {"delivered": HOUR + 1, "refused": 0, "parked": 0, "unavailable": 0}
    assert user["email"] not in log_output.getvalue()
