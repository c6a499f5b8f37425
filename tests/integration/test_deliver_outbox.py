"""deliver_outbox: order, retries, parking, destinations that go away, and delivered messages (decisions 28)."""

import io
import json
import uuid
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from background.delivery import relay
from background.delivery.nats_stream import NatsChannel
from background.mail.delivery import MailChannel
from background.mail.reset_requests import ResetRequestChannel
from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from tests.deliveries import Event, events, mails_to
from tests.service import PASSWORD, Service
from users.repository.outbox import record
from users.rules.one_time_tokens import digest
from users.rules.outbox_records import Record, reset_request

TOO_LARGE = {"operation": "user.test", "text": "x" * (1024 * 1024)}


def rows(service: Service, **columns: str) -> list[dict[str, Any]]:
    """Return the rows that are still in the outbox, in order."""
    conditions = " AND ".join(["true", *(f"{name} = %s" for name in columns)])
    return service.execute(f"SELECT * FROM users_outbox WHERE {conditions} ORDER BY seq", *columns.values())


def put(service: Service, user_id: str | None, payload: dict[str, Any], channel: str = "event") -> str:
    """Write a row. Return its id."""
    row_id = str(uuid.uuid4())
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload) VALUES (%s, %s, %s, 'user.test', %s)",
        *(row_id, user_id, channel, json.dumps(payload)),
    )
    return row_id


def now_due(service: Service) -> None:
    """End all leases and backoffs."""
    service.execute("UPDATE users_outbox SET next_attempt_at = now()")


def events_of(nats: NatsServer, user_id: str) -> list[Event]:
    return [event for event in events(nats.url) if user_id in (event.payload.get("id"), event.payload.get("user"))]


# --- delivered messages


def test_a_registration_arrives_as_event_and_mail(
    emptied_service: Service, nats_server: NatsServer, mail_server: MailServer
) -> None:
    user = emptied_service.register(tags=["t"], metadata={"m": "é😀"}, private_metadata={"p": "canary-4711"})
    (event_row,) = rows(emptied_service, channel="event")
    counts = emptied_service.deliver()
    assert counts == {"delivered": 2, "refused": 0, "parked": 0, "unavailable": 0}
    assert rows(emptied_service) == []
    (event,) = events_of(nats_server, user["id"])
    assert event.subject == "events.magistrala.user.create"
    assert event.message_id == str(event_row["id"])
    assert event.payload == event_row["payload"]
    assert event.payload["metadata"] == {"m": "é😀"}
    assert "canary-4711" not in json.dumps(event.payload)
    (mail,) = mails_to(mail_server.url, user["email"])
    assert mail.sender == "users@example.com"
    assert mail.to == [user["email"]]
    assert mail.link.startswith("http://localhost/verify-email?token=mgverify_")
    assert mail.token in mail.html
    assert "Ada" in mail.text


def test_the_stream_is_made_as_upstream_makes_it(emptied_service: Service, nats_server: NatsServer) -> None:
    import asyncio

    import nats

    emptied_service.register()
    emptied_service.deliver()

    async def configuration() -> Any:
        client = await nats.connect(nats_server.url)
        try:
            return (await client.jetstream().stream_info("events")).config
        finally:
            await client.close()

    config = asyncio.run(configuration())
    assert (config.subjects, config.max_age, config.max_msg_size) == (["events.>"], 24 * 3600, 1024 * 1024)


def test_a_reset_mail_and_its_event(emptied_service: Service, nats_server: NatsServer, mail_server: MailServer) -> None:
    user = emptied_service.register()
    emptied_service.deliver()
    with emptied_service.configured(MG_PASSWORD_RESET_URL_PREFIX="https://app.example/reset?lang=de"):
        emptied_service.call("request_password_reset", {"email": user["email"].upper()}, headers={"x-request-id": "r1"})
        emptied_service.deliver()
    mail = mails_to(mail_server.url, user["email"])[-1]
    assert mail.link.startswith("https://app.example/reset?lang=de&token=mgreset_")
    sent = [event for event in events(nats_server.url) if event.payload.get("email") == user["email"].upper()]
    (event,) = sent
    assert event.subject == "events.magistrala.user.send_password_reset"
    assert isinstance(event.payload.pop("occurred_at"), int)
    assert event.payload == {
        "operation": "user.send_password_reset",
        "request_id": "r1",
        "host": "",
        "email": user["email"].upper(),
        "user": "",
    }


@pytest.mark.parametrize("state", ["unknown", "disabled", "deleted"])
def test_no_reset_mail(emptied_service: Service, mail_server: MailServer, state: str) -> None:
    user = emptied_service.register()
    emptied_service.deliver()
    email = f"{uuid.uuid4()}@example.com" if state == "unknown" else user["email"]
    if state != "unknown":
        emptied_service.execute("UPDATE users SET status = %s", {"disabled": 1, "deleted": 2}[state])
    before = len(mails_to(mail_server.url, email))
    emptied_service.call("request_password_reset", {"email": email})
    assert emptied_service.deliver()["delivered"] == 1
    assert rows(emptied_service) == []
    assert len(mails_to(mail_server.url, email)) == before
    assert emptied_service.execute("SELECT digest FROM users_one_time_tokens WHERE purpose = 'password_reset'") == []


@pytest.mark.parametrize("change", ["verified_at = now()", "email = 'new-' || email", "status = 1", "status = 2"])
def test_a_verification_mail_that_makes_no_sense_any_more(
    emptied_service: Service, mail_server: MailServer, change: str
) -> None:
    user = emptied_service.register()
    emptied_service.execute(f"UPDATE users SET {change}")
    emptied_service.deliver()
    assert rows(emptied_service) == []
    assert mails_to(mail_server.url, user["email"]) == mails_to(mail_server.url, f"new-{user['email']}") == []
    assert emptied_service.execute("SELECT digest FROM users_one_time_tokens") == []


HOSTILE = 'Eve</p><script>alert(1)</script><img src="x">\r\nBcc: victim@example.com\r\n\r\n$link ${user} & more'


def test_a_name_writes_no_header_no_paragraph_and_no_element(emptied_service: Service, mail_server: MailServer) -> None:
    user = emptied_service.register()
    # Registration refuses such a name today, but a taken-over database may contain one.
    emptied_service.execute("UPDATE users SET first_name = %s WHERE id = %s", HOSTILE, user["id"])
    plain = emptied_service.register(first_name="Eve")
    emptied_service.deliver()
    (mail,), (other,) = mails_to(mail_server.url, user["email"]), mails_to(mail_server.url, plain["email"])
    assert (mail.subject, mail.to, mail.sender) == (other.subject, [user["email"]], other.sender)
    assert mail.html.count("<") == other.html.count("<")
    assert "<script" not in mail.html
    assert "\nBcc:" not in mail.text
    assert mails_to(mail_server.url, "victim@example.com") == []
    assert mail.link.startswith("http://localhost/verify-email?token=mgverify_")


def test_a_name_sells_nothing(emptied_service: Service, mail_server: MailServer) -> None:
    user = emptied_service.register(first_name="win http://evil.example/prize now")
    emptied_service.deliver()
    (mail,) = mails_to(mail_server.url, user["email"])
    assert "http://evil.example" not in mail.text + mail.html


def test_an_international_domain_is_sent_in_punycode(emptied_service: Service, mail_server: MailServer) -> None:
    local = f"u{uuid.uuid4().hex[:8]}"
    emptied_service.register(email=f"{local}@bücher.example")
    emptied_service.deliver()
    (mail,) = mails_to(mail_server.url, f"{local}@xn--bcher-kva.example")
    assert mail.link


# --- one-time tokens (decisions 14)


def tokens(service: Service) -> list[dict[str, Any]]:
    return service.execute("SELECT * FROM users_one_time_tokens ORDER BY created_at")


def request_reset(service: Service, email: str) -> None:
    """Ask for a reset mail as if the last mail were long ago, and deliver it."""
    service.execute("DELETE FROM users_throttle")
    assert service.call("request_password_reset", {"email": email}).status == 201
    service.deliver()


def test_a_newer_reset_token_ends_the_older_ones_and_no_verification(
    emptied_service: Service, mail_server: MailServer
) -> None:
    user, other = emptied_service.register(), emptied_service.register()
    emptied_service.deliver()
    for email in (user["email"], other["email"], user["email"]):
        request_reset(emptied_service, email)
    sent = [mail.token for mail in mails_to(mail_server.url, user["email"])]
    assert len(sent) == len(set(sent)) == 3
    by_digest = {bytes(row["digest"]): row for row in tokens(emptied_service)}
    verification, older, newer = (by_digest[digest(token)] for token in sent)
    assert [row["purpose"] for row in (verification, older, newer)] == ["verification", *["password_reset"] * 2]
    assert (verification["used_at"], newer["used_at"]) == (None, None)
    assert older["used_at"] is not None
    assert [row["used_at"] for row in by_digest.values() if row["user_id"] == other["id"]] == [None, None]


def test_a_token_expires_counted_from_the_first_sending(emptied_service: Service) -> None:
    user = emptied_service.register()
    emptied_service.execute("UPDATE users_outbox SET created_at = now() - interval '3 days'")
    emptied_service.deliver()
    request_reset(emptied_service, user["email"])
    lifetimes = {row["purpose"]: row["expires_at"] - row["created_at"] for row in tokens(emptied_service)}
    assert lifetimes == {"verification": timedelta(days=1), "password_reset": timedelta(minutes=30)}
    (row,) = emptied_service.execute("SELECT max(now() - created_at) AS age FROM users_one_time_tokens")
    assert row["age"] < timedelta(minutes=1)


# --- order


def test_the_events_of_an_account_arrive_in_their_order(emptied_service: Service, nats_server: NatsServer) -> None:
    users = [str(uuid.uuid4()) for _ in range(3)]
    for number in range(8):
        for user_id in users:
            put(emptied_service, user_id, {"id": user_id, "number": number})
    assert emptied_service.deliver()["delivered"] == 24
    for user_id in users:
        assert [event.payload["number"] for event in events_of(nats_server, user_id)] == list(range(8))


def test_more_rows_than_a_batch(emptied_service: Service) -> None:
    for _ in range(ResetRequestChannel.batch + 10):
        put(emptied_service, None, {"email": "nobody@example.com", "request_id": "r"}, "reset_request")
    assert emptied_service.deliver()["delivered"] == ResetRequestChannel.batch + 10


def test_a_row_waits_for_an_earlier_one_that_is_being_delivered(emptied_service: Service) -> None:
    user_id = str(uuid.uuid4())
    first, second = put(emptied_service, user_id, {}), put(emptied_service, user_id, {})
    (claimed,) = relay._claim("event", 1).rows
    assert claimed.id == first
    assert emptied_service.deliver()["delivered"] == 0
    assert [str(row["id"]) for row in rows(emptied_service)] == [first, second]
    now_due(emptied_service)
    assert emptied_service.deliver()["delivered"] == 2


def test_two_relays_at_once_claim_different_rows(emptied_service: Service) -> None:
    import psycopg

    for _ in range(4):
        put(emptied_service, str(uuid.uuid4()), {})
    with psycopg.connect(emptied_service.conninfo) as other:
        other.execute("SELECT 1 FROM users_outbox ORDER BY seq LIMIT 2 FOR UPDATE")
        assert len(relay._claim("event", 50).rows) == 2, "locked rows are skipped"


# --- refusals


def test_a_refused_row_is_tried_ever_later_and_parked_after_the_last_try(emptied_service: Service) -> None:
    user_id = str(uuid.uuid4())
    put(emptied_service, user_id, TOO_LARGE)
    waits = []
    for attempt in range(1, relay.MAX_ATTEMPTS):
        assert emptied_service.deliver() == {"delivered": 0, "refused": 1, "parked": 0, "unavailable": 0}
        (row,) = emptied_service.execute(
            "SELECT attempts, parked_at, last_error, round(extract(epoch FROM next_attempt_at - now()))::int AS wait"
            " FROM users_outbox"
        )
        assert (row["attempts"], row["parked_at"]) == (attempt, None)
        assert row["last_error"] == "the event is larger than NATS takes"
        waits.append(row["wait"])
        assert emptied_service.deliver()["refused"] == 0, "the row is not due yet"
        now_due(emptied_service)
    assert waits == [min(10 * 2**tries, 3600) for tries in range(relay.MAX_ATTEMPTS - 1)]
    assert emptied_service.deliver() == {"delivered": 0, "refused": 0, "parked": 1, "unavailable": 0}
    (row,) = rows(emptied_service)
    assert row["parked_at"] is not None
    now_due(emptied_service)
    assert emptied_service.deliver()["parked"] == 0, "a parked row stays"


def test_a_parked_row_blocks_its_own_account_and_channel_only(
    emptied_service: Service, nats_server: NatsServer, mail_server: MailServer
) -> None:
    user = emptied_service.register()
    emptied_service.deliver()
    parked = put(emptied_service, user["id"], TOO_LARGE)
    emptied_service.execute("UPDATE users_outbox SET attempts = %s", relay.MAX_ATTEMPTS - 1)
    assert emptied_service.deliver()["parked"] == 1
    behind = put(emptied_service, user["id"], {"id": user["id"], "later": True})
    other = str(uuid.uuid4())
    put(emptied_service, other, {"id": other})
    request_reset(emptied_service, user["email"])
    assert {str(row["id"]) for row in rows(emptied_service)} >= {parked, behind}
    assert {row["channel"] for row in rows(emptied_service)} == {"event"}
    assert len(events_of(nats_server, other)) == 1
    assert len(mails_to(mail_server.url, user["email"])) == 2
    emptied_service.execute("DELETE FROM users_outbox WHERE id = %s", parked)
    emptied_service.deliver()
    assert rows(emptied_service) == []
    assert events_of(nats_server, user["id"])[-1].payload == {"id": user["id"], "later": True}


# --- unavailable destinations


def test_nats_away_costs_no_attempt_and_loses_nothing(emptied_service: Service, nats_server: NatsServer) -> None:
    user = emptied_service.register()
    emptied_service.deliver()
    nats_server.stop()
    try:
        emptied_service.log_in(user["email"])
        put(emptied_service, user["id"], {"id": user["id"], "number": 2})
        for _ in range(3):
            counts = emptied_service.deliver()
            assert (counts["delivered"], counts["refused"], counts["unavailable"]) == (0, 0, 2)
        assert [row["attempts"] for row in rows(emptied_service)] == [0, 0]
    finally:
        nats_server.start()
        nats_server.wait_ready()
    assert emptied_service.deliver()["delivered"] == 2
    assert events_of(nats_server, user["id"])[-1].payload["number"] == 2


def test_mail_away_holds_up_no_event_and_loses_nothing(
    emptied_service: Service, nats_server: NatsServer, mail_server: MailServer
) -> None:
    mail_server.stop()
    try:
        user = emptied_service.register()
        counts = emptied_service.deliver()
        assert (counts["delivered"], counts["unavailable"]) == (1, 1)
        assert len(events_of(nats_server, user["id"])) == 1
        assert [(row["channel"], row["attempts"]) for row in rows(emptied_service)] == [("mail", 0)]
    finally:
        mail_server.start()
        mail_server.wait_ready()
    assert emptied_service.deliver()["delivered"] == 1
    assert len(mails_to(mail_server.url, user["email"])) == 1


def test_a_stream_that_is_full_costs_no_attempt(emptied_service: Service, nats_server: NatsServer) -> None:
    import asyncio

    import nats
    from nats.js.api import DiscardPolicy

    async def limit(messages: int) -> None:
        client = await nats.connect(nats_server.url)
        try:
            stream = client.jetstream()
            config = (await stream.stream_info("events")).config
            config.discard, config.max_msgs = (DiscardPolicy.NEW, 1) if messages else (DiscardPolicy.OLD, -1)
            await stream.update_stream(config)
        finally:
            await client.close()

    emptied_service.register()
    emptied_service.deliver()
    asyncio.run(limit(1))
    try:
        put(emptied_service, None, {"operation": "user.test"})
        assert emptied_service.deliver()["unavailable"] == 1
        assert rows(emptied_service)[0]["attempts"] == 0
    finally:
        asyncio.run(limit(0))
    assert emptied_service.deliver()["delivered"] == 1


@pytest.mark.parametrize("variable", ["MG_EMAIL_FROM_ADDRESS", "MG_USERS_SECRET_KEY"])
def test_mails_wait_for_a_setting_that_is_missing(
    emptied_service: Service, mail_server: MailServer, variable: str
) -> None:
    user = emptied_service.register()
    with emptied_service.configured(**{variable: ""}):
        assert emptied_service.deliver()["unavailable"] == 1
    assert [row["attempts"] for row in rows(emptied_service)] == [0]
    emptied_service.deliver()
    assert len(mails_to(mail_server.url, user["email"])) == 1


def test_what_counts_against_a_mailbox_waits_for_the_secret_key(
    emptied_service: Service, mail_server: MailServer
) -> None:
    """A notice and a wish for a reset mail wait: the counter of a mailbox is named by a digest, which needs the key."""
    with emptied_service.configured(MG_USERS_VERIFY_ON_REGISTER="false"):
        user = emptied_service.register()
    emptied_service.deliver()
    record(user["id"], [Record(channel="mail", name="password_changed", payload={"email": user["email"]})])
    record(None, [reset_request(user["email"], "")])
    with emptied_service.configured(MG_USERS_SECRET_KEY=""):
        assert emptied_service.deliver()["unavailable"] == 2
    assert [row["attempts"] for row in rows(emptied_service)] == [0, 0]
    emptied_service.deliver()
    assert len(mails_to(mail_server.url, user["email"])) == 2


# --- nothing to deliver


def test_a_run_with_nothing_to_do_writes_nothing(emptied_service: Service, log_output: io.StringIO) -> None:
    """An idle system writes nothing, although the schedule runs each minute."""
    emptied_service.deliver()

    def transactions() -> int:
        """Return how many transactions of the whole server have written."""
        (row,) = emptied_service.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next")
        return int(row["next"])

    def writes() -> int:
        before = transactions()
        assert emptied_service.deliver() == {"delivered": 0, "refused": 0, "parked": 0, "unavailable": 0}
        return transactions() - before

    assert 0 in [writes() for _ in range(3)], "PostgreSQL itself writes now and then, but not each time"
    assert log_output.getvalue() == ""
    emptied_service.register()
    emptied_service.deliver()
    assert '"message":"delivered"' in log_output.getvalue()


# --- a relay that is killed


def test_a_relay_that_dies_after_sending_sends_again_the_same(
    emptied_service: Service, nats_server: NatsServer, mail_server: MailServer
) -> None:
    user = emptied_service.register()
    with closing(NatsChannel(nats_server.url)) as nats, closing(MailChannel()) as mails:
        list(nats.deliver(relay._claim("event", 50).rows))
        list(mails.deliver(relay._claim("mail", 50).rows))
    # The relay is killed here: nothing is settled.
    assert emptied_service.deliver()["delivered"] == 0, "the lease lasts"
    (row,) = emptied_service.execute(
        "SELECT min(next_attempt_at - now()) AS least, max(attempts) AS attempts FROM users_outbox"
    )
    assert timedelta(seconds=relay.LEASE - 30) < row["least"] <= timedelta(seconds=relay.LEASE)
    assert row["attempts"] == 1
    now_due(emptied_service)
    assert emptied_service.deliver()["delivered"] == 2
    first, second = mails_to(mail_server.url, user["email"])
    assert first.link == second.link
    assert len(tokens(emptied_service)) == 1
    assert tokens(emptied_service)[0]["used_at"] is None
    assert len(events_of(nats_server, user["id"])) == 1, "the stream has a message with this id"


def test_a_run_ends_before_its_time_is_over(emptied_service: Service) -> None:
    from tests.service import handler, lambda_context

    put(emptied_service, None, {})
    counts = handler("deliver_outbox")({}, lambda_context(milliseconds=9_000))
    assert counts["delivered"] == 0
    assert [row["attempts"] for row in rows(emptied_service)] == [0]


def test_no_mail_is_begun_when_time_is_over(emptied_service: Service) -> None:
    """A mail server may take seconds for each mail. An unsettled mail would be sent again."""
    for _ in range(3):
        emptied_service.register()
    assert relay.deliver_due({"mail": MailChannel}, iter((True, True, False, False)).__next__)["delivered"] == 1
    assert [row["attempts"] for row in rows(emptied_service, channel="mail")] == [0, 0]


def test_a_channel_of_a_newer_release_is_left_alone(emptied_service: Service) -> None:
    put(emptied_service, None, {}, channel="telex")
    assert emptied_service.deliver()["delivered"] == 0
    assert [row["attempts"] for row in rows(emptied_service)] == [0]


def test_what_is_left_is_measured(emptied_service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        put(emptied_service, None, {}, channel="telex")
    emptied_service.execute("UPDATE users_outbox SET created_at = now() - seq * interval '100 seconds'")
    emptied_service.execute("UPDATE users_outbox SET parked_at = now() WHERE seq < (SELECT max(seq) FROM users_outbox)")
    (newest,) = emptied_service.execute("SELECT max(seq) * 100 AS age FROM users_outbox")
    emptied_service.deliver()
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "OutboxAge" in line]
    metrics = json.loads(line)
    assert metrics["OutboxParked"] == [2.0]
    assert newest["age"] <= metrics["OutboxAge"][0] < newest["age"] + 60


def test_a_login_arrives_as_an_event(emptied_service: Service, nats_server: NatsServer) -> None:
    user = emptied_service.register()
    assert emptied_service.call("issue_token", {"username": user["email"], "password": PASSWORD}).status == 201
    emptied_service.deliver()
    (event,) = [event for event in events(nats_server.url) if event.payload.get("username") == user["email"]]
    assert event.subject == "events.magistrala.user.issue_token"


def test_row_that_ends_every_relay_is_parked_in_the_end(emptied_service: Service) -> None:
    user = emptied_service.register()
    emptied_service.execute("UPDATE users_outbox SET attempts = %s WHERE channel = 'event'", relay.MAX_ATTEMPTS)
    assert emptied_service.deliver()["parked"] == 1
    rows = emptied_service.execute("SELECT user_id, parked_at FROM users_outbox")
    assert [(row["user_id"], row["parked_at"] is not None) for row in rows] == [(user["id"], True)]


def test_a_channel_that_is_not_configured_keeps_its_rows_and_holds_nobody_up(
    emptied_service: Service, mail_server: MailServer
) -> None:
    with emptied_service.configured(MG_USERS_ES_URL="amqp://localhost"):
        user = emptied_service.register()
        assert emptied_service.deliver()["delivered"] == 1
    assert [mail.subject for mail in mails_to(mail_server.url, user["email"])] == ["Email Verification"]
    assert [row["channel"] for row in emptied_service.execute("SELECT channel FROM users_outbox")] == ["event"]
