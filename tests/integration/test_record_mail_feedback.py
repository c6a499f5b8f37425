"""record_mail_feedback: SES's events about mails, addresses that get no mails because of them, and their end."""

import io
import json
import uuid
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from background.mail.feedback import MalformedFeedback
from background.mail.suppressions import LIFETIME, lift, suppressions
from local.parts.mail import MailServer
from tests.deliveries import mails_to
from tests.service import ROOT, Service, handler, lambda_context
from users.errors import Unavailable
from users.repository.outbox import record
from users.rules.outbox_records import Record

BOUNCE = json.loads((ROOT / "events/record_mail_feedback.json").read_text())


def bounce(*addresses: str, **changes: Any) -> dict[str, Any]:
    """Return the event of a bounce, with a new id."""
    event: dict[str, Any] = deepcopy(BOUNCE)
    event["detail"]["bounce"] |= {
        "feedbackId": str(uuid.uuid4()),
        "bouncedRecipients": [{"emailAddress": address, "action": "failed"} for address in addresses],
        **changes,
    }
    return event


def complaint(*addresses: str, **changes: Any) -> dict[str, Any]:
    """Return the event of a complaint as SES documents it, with a new id."""
    event: dict[str, Any] = deepcopy(BOUNCE) | {"detail-type": "Email Complaint Received"}
    event["detail"] = {
        "eventType": "Complaint",
        "complaint": {
            "feedbackId": str(uuid.uuid4()),
            "complaintSubType": None,
            "complainedRecipients": [{"emailAddress": address} for address in addresses],
            "timestamp": "2026-11-23T20:15:02.669Z",
            "userAgent": "Amazon SES Mailbox Simulator",
            "complaintFeedbackType": "abuse",
            "arrivalDate": "2026-11-23T20:15:02.669Z",
            **changes,
        },
        "mail": event["detail"]["mail"],
    }
    return event


def record_event(event: dict[str, Any]) -> int:
    counts: dict[str, int] = handler("record_mail_feedback")(event, lambda_context())
    return counts["suppressed"]


def rows(service: Service) -> list[dict[str, Any]]:
    return service.execute("SELECT * FROM users_mail_suppressions ORDER BY address")


def suppressed(service: Service) -> dict[str, str]:
    return {row["address"]: row["reason"] for row in rows(service)}


def counted(output: str, name: str) -> list[float]:
    """Return the values of a metric in the lines on stdout."""
    lines = [json.loads(line) for line in output.splitlines() if name in line]
    return [line[name][0] for line in lines if "_aws" in line]


# ------------------------------------------------------------------------------------------------ recorded addresses


def test_the_event_of_the_documentation(own_service: Service) -> None:
    assert record_event(BOUNCE) == 1
    (row,) = rows(own_service)
    feedback_id = BOUNCE["detail"]["bounce"]["feedbackId"]
    assert (row["address"], row["reason"], row["feedback_id"]) == ("recipient@example.com", "bounce", feedback_id)
    assert row["expires_at"] - row["created_at"] == timedelta(days=LIFETIME)


@pytest.mark.parametrize("kind", ["General", "NoEmail", "Suppressed", "OnAccountSuppressionList"])
def test_bounces_for_good(own_service: Service, kind: str) -> None:
    assert record_event(bounce("Ada@Example.com", "grace@example.com", bounceSubType=kind)) == 2
    assert suppressed(own_service) == {"ada@example.com": "bounce", "grace@example.com": "bounce"}


@pytest.mark.parametrize(
    "changes", [{}, {"complaintFeedbackType": None}, {"complaintSubType": "OnAccountSuppressionList"}]
)
def test_complaints(own_service: Service, changes: dict[str, Any]) -> None:
    assert record_event(complaint("ada@example.com", **changes)) == 1
    assert suppressed(own_service) == {"ada@example.com": "complaint"}


@pytest.mark.parametrize(
    "event",
    [
        bounce("ada@example.com", bounceType="Transient", bounceSubType="MailboxFull"),
        bounce("ada@example.com", bounceType="Undetermined", bounceSubType="Undetermined"),
        complaint("ada@example.com", complaintFeedbackType="not-spam"),
    ],
)
def test_what_is_not_final_suppresses_nothing(own_service: Service, event: dict[str, Any]) -> None:
    assert record_event(event) == 0
    assert rows(own_service) == []


def test_the_same_feedback_twice_and_another_one(own_service: Service) -> None:
    event = bounce("ada@example.com", "ADA@example.com")
    assert [record_event(event), record_event(event)] == [1, 0]
    (first,) = rows(own_service)
    assert record_event(complaint("ada@example.com")) == 1
    (second,) = rows(own_service)
    assert second["reason"] == "complaint"
    assert second["expires_at"] > first["expires_at"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"detail-type": "Email Delivered", "detail": {"delivery": {"recipients": ["canary@example.com"]}}},
        {"detail-type": ["canary@example.com"]},
        {**BOUNCE, "detail": None},
        {**BOUNCE, "detail": {"bounce": "canary@example.com"}},
        bounce("canary@example.com", feedbackId=None),
        bounce("canary@example.com", bouncedRecipients=["canary@example.com"]),
        bounce("canary@example.com", bouncedRecipients=[{"emailAddress": {"canary@example.com": 1}}]),
        bounce("canary@example.com", "canary@example.com, canary@example.org"),
        bounce("canary@example.com\0"),
        bounce(),
        complaint("canary@example.com", complainedRecipients=None),
    ],
)
def test_a_malformed_event_fails_without_an_address(
    own_service: Service, log_output: io.StringIO, event: dict[str, Any]
) -> None:
    with pytest.raises(MalformedFeedback) as caught:
        record_event(event)
    assert "canary" not in repr(caught.value) + log_output.getvalue()
    assert rows(own_service) == []


def test_a_database_that_is_away_reaches_lambda_which_tries_again(own_service: Service) -> None:
    with own_service.configured(MG_USERS_DB_PORT="1"), pytest.raises(Unavailable):
        record_event(bounce("ada@example.com"))


def test_addresses_are_neither_logged_nor_measured(
    own_service: Service, log_output: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    record_event(bounce("canary@example.com"))
    record_event(bounce("canary@example.com", bounceType="Transient"))
    output = capsys.readouterr().out
    assert counted(output, "AddressesSuppressed") == [1.0]
    assert "canary" not in log_output.getvalue() + output
    assert '"reason":"bounce"' in log_output.getvalue()


# ------------------------------------------------------------------------------------------------ suppressed mails


def test_a_suppressed_address_gets_no_mail(
    own_service: Service, mail_server: MailServer, capsys: pytest.CaptureFixture[str]
) -> None:
    user, other = own_service.register(), own_service.register()
    record_event(bounce(user["email"].upper()))
    capsys.readouterr()
    counts = own_service.deliver()
    output = capsys.readouterr().out
    assert (counts["refused"], counts["parked"], counts["unavailable"]) == (0, 0, 0)
    assert counted(output, "MailsSuppressed") == [1.0]
    assert counted(output, "MailsSent") == [1.0]
    assert counted(output, "MailsFailed") == []
    assert own_service.execute("SELECT * FROM users_outbox") == []
    assert own_service.execute("SELECT user_id FROM users_one_time_tokens") == [{"user_id": other["id"]}]
    assert mails_to(mail_server.url, user["email"]) == []
    assert len(mails_to(mail_server.url, other["email"])) == 1

    answers = [own_service.call("request_password_reset", {"email": one["email"]}) for one in (user, other)]
    assert [(answer.status, answer.text) for answer in answers] == [(answers[0].status, answers[0].text)] * 2
    notice = Record(channel="mail", name="password_changed", payload={"email": user["email"]})
    record(user["id"], [notice])
    assert own_service.deliver()["refused"] == 0
    assert own_service.execute("SELECT * FROM users_outbox") == []
    assert mails_to(mail_server.url, user["email"]) == []
    assert len(mails_to(mail_server.url, other["email"])) == 2


def test_a_suppressed_reset_ends_no_older_link(own_service: Service, mail_server: MailServer) -> None:
    user = own_service.register()
    own_service.deliver()
    own_service.call("request_password_reset", {"email": user["email"]})
    own_service.deliver()
    link = mails_to(mail_server.url, user["email"])[-1]
    record_event(complaint(user["email"]))
    record(user["id"], [Record(channel="mail", name="password_reset", payload={})])
    own_service.deliver()
    body = {"token": link.token, "password": "another horse 8 battery", "confirm_password": "another horse 8 battery"}
    assert own_service.call("reset_password", body).status == 201


@pytest.mark.parametrize("ending", ["lifted", "expired"])
def test_an_address_gets_mails_again(own_service: Service, mail_server: MailServer, ending: str) -> None:
    user = own_service.register()
    record_event(bounce(user["email"]))
    if ending == "lifted":
        assert lift(user["email"].upper()) == [user["email"]]
    else:
        own_service.execute("UPDATE users_mail_suppressions SET expires_at = now()")
    assert suppressions(limit=10) == []
    own_service.deliver()
    assert len(mails_to(mail_server.url, user["email"])) == 1
    assert record_event(bounce(user["email"])) == 1
    assert [one.address for one in suppressions(limit=10)] == [user["email"]]


@pytest.mark.parametrize(
    ("stored", "reported"),
    [
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@XN--Bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("Ada <ada@example.com>", "ada@example.com"),
        ('"A, <b@c>" <ada@example.com>', "ada@example.com"),
        ("ada@example.com (Ada)", "Ada@example.com"),
        ("ada@example.com", '"Ada" <ada@example.com>'),
    ],
)
def test_however_an_address_is_spelled(
    own_service: Service, capsys: pytest.CaptureFixture[str], stored: str, reported: str
) -> None:
    user = own_service.register()
    own_service.execute("UPDATE users SET email = %s WHERE id = %s", stored, user["id"])
    record(user["id"], [Record(channel="mail", name="verification", payload={"email": stored})])
    record_event(bounce(reported))
    own_service.deliver()
    output = capsys.readouterr().out
    assert (counted(output, "MailsSuppressed"), counted(output, "MailsSent")) == ([1.0], [])
    assert own_service.execute("SELECT * FROM users_one_time_tokens") == []
    assert lift(stored)
    assert rows(own_service) == []


# ------------------------------------------------------------------------------------------------ forgotten addresses


def test_the_sweep_forgets_what_has_expired(own_service: Service) -> None:
    record_event(bounce("old@example.com", "new@example.com"))
    own_service.execute(
        "UPDATE users_mail_suppressions SET expires_at = %s WHERE address LIKE 'old%%'",
        datetime.now(UTC) - timedelta(seconds=1),
    )
    handler("sweep_accounts")({}, lambda_context())
    assert suppressed(own_service) == {"new@example.com": "bounce"}


def test_an_account_takes_its_addresses_along_those_it_had_before_too(own_service: Service) -> None:
    user = own_service.register()
    record_event(complaint(user["email"]))
    own_service.execute("UPDATE users SET email = 'Ada <later@example.com>' WHERE id = %s", user["id"])
    record_event(bounce("later@example.com", "somebody@example.com"))
    own_service.execute(
        "UPDATE users SET status = 2, deleted_at = now() - interval '31 days' WHERE id = %s", user["id"]
    )
    assert handler("sweep_accounts")({}, lambda_context())["swept"] == 1
    assert suppressed(own_service) == {"somebody@example.com": "bounce"}
