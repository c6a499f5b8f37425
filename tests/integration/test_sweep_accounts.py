"""sweep_accounts: what is due, what it does to each account, failures, warnings (decisions 18; contract §4.6)."""

import uuid
from concurrent import futures
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from background.removal import sweep as sweeping
from background.removal.sweep import count_due, due_accounts
from background.repository.undelivered import outbox_state, undelivered
from local.parts.mail import MailServer
from tests.deliveries import mails_to
from tests.domains_server import domains
from tests.parallel import Environments
from tests.people import administrator, deliver, logged_in, mails, person, records, relations, row
from tests.service import Service, handler, lambda_context
from users.peers import spicedb
from users.repository.outbox import oldest_age

DAY = 24 * 3600
GRACE = 30 * DAY
NOBODY_LISTENS = "127.0.0.1:9"
_STATUSES = {"enabled": 0, "disabled": 1, "deleted": 2}


def sweep(**counts: int) -> None:
    """Run it, and hold what it counted against ``counts``."""
    counted: dict[str, int] = handler("sweep_accounts")({}, lambda_context())
    quiet = {"swept": 0, "failed": 0, "warned": 0, "reminded": 0, "forgotten": 0, "left": 0}
    assert counted == quiet | counts


def ended(service: Service, status: str = "deleted", ago: float = GRACE + 60, **columns: Any) -> str:
    """The id of an account that was deleted or disabled ``ago`` seconds ago; ``columns`` are of its row."""
    user_id = str(uuid.uuid4())
    values = {"id": user_id, "email": f"{user_id}@example.com", "status": _STATUSES[status], **columns}
    names, holes = ", ".join(values), ", ".join(["%s"] * len(values))
    moment = f"{status}_at" if status != "enabled" else "created_at"
    service.execute(
        f"INSERT INTO users (first_name, last_name, {moment}, {names})"
        f" VALUES ('Ada', 'Lovelace', now() - %s * interval '1 second', {holes})",
        ago, *values.values(),
    )  # fmt: skip
    return user_id


def many_ended(service: Service, count: int, ago: float = GRACE + 60) -> list[str]:
    """The ids of so many deleted accounts, each deleted a second before the one before it."""
    inserted = service.execute(
        "INSERT INTO users (id, email, first_name, last_name, status, deleted_at)"
        " SELECT id, id || '@example.com', 'Ada', 'Lovelace', 2, now() - (%s + n) * interval '1 second'"
        " FROM (SELECT gen_random_uuid()::text AS id, n FROM generate_series(1, %s) n) each ORDER BY n RETURNING id",
        ago, count,
    )  # fmt: skip
    return [each["id"] for each in inserted]


def there(service: Service) -> set[str]:
    return {each["id"] for each in service.execute("SELECT id FROM users")}


def purged(service: Service) -> list[str]:
    """The ids in the events of removals."""
    return [
        each["id"]
        for each in service.execute("SELECT payload->>'id' AS id FROM users_outbox WHERE name = 'user.purge'")
    ]


# --- what is due


def test_exactly_what_is_due(own_service: Service) -> None:
    due = {
        ended(own_service, "deleted", GRACE + 1),
        ended(own_service, "disabled", GRACE + 1),
        ended(own_service, "deleted", GRACE + 1, role=1),
    }
    stay = {
        ended(own_service, "enabled"),
        ended(own_service, "deleted", GRACE - 60, removal_warned_at=datetime.now(UTC)),
        ended(own_service, "disabled", GRACE - 60, removal_warned_at=datetime.now(UTC)),
        # disabled long ago, deleted lately: the deletion counts
        ended(own_service, "deleted", 60, disabled_at=datetime(2020, 1, 1, tzinfo=UTC)),
    }
    assert {account.id for account in due_accounts(10)} == due
    assert count_due() == {"deleted": 2, "disabled": 1, "unverified": 0, "begun": 0}
    sweep(swept=3)
    assert there(own_service) == stay
    assert set(purged(own_service)) == due
    sweep()
    assert len(purged(own_service)) == 3


def test_those_that_are_due_longest_come_first(own_service: Service) -> None:
    ids = [ended(own_service, kind, GRACE + ago) for kind, ago in (("deleted", 90), ("disabled", 60), ("deleted", 30))]
    assert [account.id for account in due_accounts(2)] == ids[:2]
    assert [account.kind for account in due_accounts(3)] == ["deleted", "disabled", "deleted"]
    assert [account.role for account in due_accounts(1)] == [0]


def test_without_a_grace_period_deleted_accounts_only(own_service: Service) -> None:
    deleted, disabled = ended(own_service, "deleted", 0), ended(own_service, "disabled", 10 * GRACE)
    with own_service.configured(MG_USERS_DELETE_AFTER="0s"):
        assert count_due() == {"deleted": 1, "disabled": 0, "unverified": 0, "begun": 0}
        sweep(swept=1)
    assert there(own_service) == {disabled}
    assert purged(own_service) == [deleted]
    assert mails(own_service, disabled) == []


def test_disabled_accounts_may_stay(own_service: Service) -> None:
    ended(own_service, "deleted")
    disabled = ended(own_service, "disabled")
    unwarned = ended(own_service, "disabled", GRACE - DAY)
    with own_service.configured(MG_USERS_DELETE_DISABLED="false"):
        sweep(swept=1)
    assert there(own_service) == {disabled, unwarned}
    assert mails(own_service, unwarned) == []


def test_an_account_that_upstream_deleted_counts_from_when_it_is_seen(own_service: Service) -> None:
    """Its SQL, where it still runs on the tables, sets the status alone."""
    user_id = ended(own_service, "enabled", updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    own_service.execute("UPDATE users SET status = 2")
    sweep()
    assert own_service.execute("SELECT 1 FROM users WHERE deleted_at > now() - interval '1 minute'")
    own_service.execute("UPDATE users SET deleted_at = deleted_at - %s * interval '1 second'", GRACE)
    sweep(swept=1)
    assert purged(own_service) == [user_id]


# --- what is done


def test_an_account_leaves_its_domains_and_relations(own_service: Service) -> None:
    admin = ended(own_service, role=1)
    spicedb.grant(admin, 1)
    asked: list[str] = []

    def answer(user_id: str, context: grpc.ServicerContext) -> bool:
        asked.append(user_id)
        return True

    with domains(answer) as url, own_service.configured(MG_DOMAINS_GRPC_URL=url):
        sweep(swept=1)
    assert asked == [admin]
    assert relations(own_service, admin) == set()
    (event,) = records(own_service, admin, "event")
    assert event["payload"].keys() == {"id", "operation", "request_id", "occurred_at"}


def test_the_local_auth_serves_domains_too(own_service: Service) -> None:
    user_id = ended(own_service)
    with own_service.configured(MG_DOMAINS_GRPC_URL=own_service.environment["MG_AUTH_GRPC_URL"]):
        sweep(swept=1)
    assert purged(own_service) == [user_id]


def test_its_deletion_and_void_tokens_are_still_told(own_service: Service) -> None:
    ada, boss = person(own_service), administrator(own_service)
    assert own_service.call("delete_user", token=boss.token, user_id=ada.id).status == 204
    own_service.execute("UPDATE users SET deleted_at = now() - %s * interval '1 second' WHERE id = %s", GRACE, ada.id)
    sweep(swept=1)
    assert [each["name"] for each in records(own_service, ada.id, "event")] == ["user.delete", "user.purge"]
    assert [each["name"] for each in records(own_service, ada.id, "revocation")] == ["refresh_tokens"]
    assert mails(own_service, ada.id) == []


def test_limits_that_are_over_are_forgotten(own_service: Service) -> None:
    for key, interval in (("login:address:a", "-1 second"), ("login:address:b", "1 minute")):
        own_service.execute(
            "INSERT INTO users_throttle (key, hits, expires_at, hit_at) VALUES (%s, 1, now() + %s::interval, now())",
            key, interval,
        )  # fmt: skip
    sweep()
    assert [each["key"] for each in own_service.execute("SELECT key FROM users_throttle")] == ["login:address:b"]


# --- bounds


def test_it_stops_before_its_time_is_up_and_continues(own_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 2)
    many_ended(own_service, 5)
    assert handler("sweep_accounts")({}, lambda_context(29_000)) == {
        "swept": 0,
        "failed": 0,
        "warned": 0,
        "reminded": 0,
        "forgotten": 0,
        "left": 5,
    }
    counts = sweeping.sweep(lambda: purged(own_service) == [])
    assert counts == {"swept": 2, "failed": 0, "warned": 0, "reminded": 0, "forgotten": 0, "left": 3}
    sweep(swept=3)
    assert len(set(purged(own_service))) == len(purged(own_service)) == 5


def test_time_that_is_up_in_a_batch_gives_the_rest_of_it_back(own_service: Service) -> None:
    many_ended(own_service, 50)
    asked: list[str] = []

    def answer(user_id: str, context: grpc.ServicerContext) -> bool:
        asked.append(user_id)
        return True

    with domains(answer) as url, own_service.configured(MG_DOMAINS_GRPC_URL=url):
        counts = sweeping.sweep(lambda: len(asked) < 10)
        assert own_service.execute("SELECT 1 FROM users WHERE purging_at IS NOT NULL") == []
        left = {"left": 50 - len(asked)}
        assert counts == {"swept": len(asked), "failed": 0, "warned": 0, "reminded": 0, "forgotten": 0, **left}
        assert 10 <= len(asked) < 50
        sweep(swept=counts["left"])
    assert len(purged(own_service)) == 50


def test_what_a_killed_run_had_claimed_is_resumed(own_service: Service) -> None:
    user_id = ended(own_service)
    own_service.execute("UPDATE users SET purging_at = now() - interval '9 minutes', purge_attempts = 1")
    sweep(left=1)
    own_service.execute("UPDATE users SET purging_at = now() - interval '11 minutes'")
    sweep(swept=1)
    assert purged(own_service) == [user_id]


def test_a_purge_that_was_killed_is_finished_though_it_is_not_due(own_service: Service) -> None:
    user_id = ended(own_service, ago=0)
    own_service.execute("UPDATE users SET purging_at = now() - interval '11 minutes', purge_attempts = 1")
    sweep(swept=1)
    assert purged(own_service) == [user_id]


# --- failures


def test_one_account_that_fails_does_not_stop_the_others(own_service: Service, log_output: Any) -> None:
    ids = many_ended(own_service, 40)
    refused, unknown = ids[:2]

    def answer(user_id: str, context: grpc.ServicerContext) -> bool:
        if user_id == unknown:
            context.abort(grpc.StatusCode.INTERNAL, f"secret {user_id}")
        return user_id != refused

    with domains(answer) as url, own_service.configured(MG_DOMAINS_GRPC_URL=url):
        sweep(swept=38, failed=2, left=2)
        sweep(left=2)  # it does not spin
        assert there(own_service) == {refused, unknown}
        assert own_service.execute("SELECT 1 FROM users_outbox WHERE user_id = ANY(%s)", [refused, unknown]) == []
        log = log_output.getvalue()
        for cause in ("refused", "INTERNAL"):
            assert f'"cause":"{cause}"' in log
        assert "secret" not in log
        assert not any(user_id in log for user_id in ids)
        # the second try comes after ten minutes, the third after twenty more
        for minutes, failed in ((11, 2), (11, 0), (21, 2)):
            interval = timedelta(minutes=minutes)
            own_service.execute("UPDATE users SET purging_at = now() - %s", interval)
            sweep(failed=failed, left=2)
    own_service.execute("UPDATE users SET purging_at = now() - interval '1 day'")
    sweep(swept=2)


def test_those_that_fail_do_not_keep_new_ones_waiting(own_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "BATCH", 5)
    failing = set(many_ended(own_service, 20, ago=2 * GRACE))
    with domains(lambda user_id, _: user_id not in failing) as url, own_service.configured(MG_DOMAINS_GRPC_URL=url):
        sweep(failed=20, left=20)
        own_service.execute("UPDATE users SET purging_at = now() - interval '1 day'")
        ended(own_service)
        sweep(swept=1, failed=20, left=20)


@pytest.mark.parametrize(
    "variables",
    [
        {"MG_DOMAINS_GRPC_URL": NOBODY_LISTENS},
        {"MG_SPICEDB_PRE_SHARED_KEY": "wrong"},
        pytest.param({"MG_SPICEDB_PORT": "9"}, marks=pytest.mark.long),
    ],
    ids=["domains", "not let in", "spicedb"],
)
def test_a_dependency_that_is_away_ends_the_run(own_service: Service, variables: dict[str, str]) -> None:
    many_ended(own_service, 100)
    with own_service.configured(**variables):
        counts: dict[str, int] = handler("sweep_accounts")({}, lambda_context())
    assert counts["swept"] == 0
    assert 16 <= counts["failed"] < 40
    assert counts["left"] == 100
    claimed = own_service.execute("SELECT purge_attempts FROM users WHERE purging_at IS NOT NULL")
    assert [each["purge_attempts"] for each in claimed] == [1] * counts["failed"]
    own_service.execute("UPDATE users SET purging_at = purging_at - interval '11 minutes'")
    sweep(swept=100)


def test_a_dependency_that_hangs_ends_the_run(own_service: Service) -> None:
    many_ended(own_service, 50)
    over = futures.Future[None]()

    def answer(user_id: str, context: grpc.ServicerContext) -> bool:
        over.result(20)
        return True

    with domains(answer) as url:
        with own_service.configured(MG_DOMAINS_GRPC_URL=url, MG_DOMAINS_GRPC_TIMEOUT="300ms"):
            started = datetime.now(UTC)
            counts: dict[str, int] = handler("sweep_accounts")({}, lambda_context())
            assert datetime.now(UTC) - started < timedelta(seconds=5)
        over.set_result(None)
    assert counts["swept"] == 0
    assert counts["failed"] < 40


# --- restoring, and removing at once


def test_nobody_restores_an_account_that_is_being_removed(own_service: Service) -> None:
    boss = administrator(own_service)
    ada = ended(own_service, ago=GRACE + 60)
    statuses: dict[str, tuple[int, str]] = {}

    def answer(user_id: str, context: grpc.ServicerContext) -> bool:
        """In the middle of the removal, by another process."""
        for operation, query in (("enable_user", ""), ("delete_user", "purge=true")):
            calls = [{"operation": operation, "token": boss.token, "user_id": user_id, "query": query}]
            statuses[operation] = other.call(own_service, calls)[0].error
        return True

    other = Environments(1)
    try:
        with domains(answer) as url, own_service.configured(MG_DOMAINS_GRPC_URL=url, MG_DOMAINS_GRPC_TIMEOUT="20s"):
            sweep(swept=1)
    finally:
        other.stop()
    assert statuses == {"enable_user": (409, "removal_begun"), "delete_user": (409, "removal_begun")}
    assert purged(own_service) == [ada]


def test_a_purge_claims_before_it_takes_the_relations(own_service: Service) -> None:
    """Upstream, and this service before, could restore an account in between, and leave it without them."""
    ada, boss = person(own_service), administrator(own_service)
    seen: list[Any] = []

    def answer(user_id: str, context: grpc.ServicerContext) -> bool:
        seen.append(row(own_service, user_id)["purging_at"])
        return True

    with domains(answer) as url, own_service.configured(MG_DOMAINS_GRPC_URL=url):
        answered = own_service.call("delete_user", token=boss.token, user_id=ada.id, query="purge=true")
    assert answered.status == 204
    assert len(seen) == 1
    assert seen[0] is not None
    assert ada.id not in there(own_service)


@pytest.mark.parametrize("refuses", [False, True], ids=["away", "refuses"])
def test_a_purge_that_cannot_be_finished_gives_the_account_back(own_service: Service, refuses: bool) -> None:
    ada, boss = person(own_service), administrator(own_service)
    with domains(lambda *_: not refuses) as url:
        variables = {"MG_DOMAINS_GRPC_URL": url} if refuses else {"MG_SPICEDB_PORT": "9"}
        with own_service.configured(**variables):
            for _ in range(2):
                answer = own_service.call("delete_user", token=boss.token, user_id=ada.id, query="purge=true")
                assert answer.error == (503, "service_unavailable")
    stored = row(own_service, ada.id)
    assert (stored["status"], stored["purging_at"], stored["purge_attempts"]) == (2, None, 0)
    assert relations(own_service, ada.id) == {"member"}
    assert own_service.call("enable_user", token=boss.token, user_id=ada.id).status == 200
    assert logged_in(own_service, ada).token


def test_a_final_deletion_without_the_policy_store_is_finished(own_service: Service) -> None:
    ada = person(own_service)
    with own_service.configured(MG_USERS_DELETE_AFTER="0s"):
        with own_service.configured(MG_SPICEDB_PORT="9", MG_USERS_DELETE_AFTER="0s"):
            answer = own_service.call("delete_user", token=ada.token, user_id=ada.id)
            assert answer.error == (503, "service_unavailable")
        assert relations(own_service, ada.id) == {"member"}
        sweep(swept=1)
    assert relations(own_service, ada.id) == set()
    assert [each["name"] for each in records(own_service, ada.id, "event")] == ["user.delete", "user.purge"]


# --- warnings


@pytest.mark.parametrize("status", ["deleted", "disabled"])
@pytest.mark.parametrize(
    ("grace", "early", "late"),
    [("720h", 23 * DAY - 60, 23 * DAY + 60), ("24h", DAY / 2 - 60, DAY / 2 + 60)],
    ids=["seven days before", "half of a shorter period"],
)
def test_a_warning_is_mailed_once(
    own_service: Service, mail_server: MailServer, status: str, grace: str, early: float, late: float
) -> None:
    not_yet, now = ended(own_service, status, early), ended(own_service, status, late)
    with own_service.configured(MG_USERS_DELETE_AFTER=grace):
        sweep(warned=1)
        sweep()
        deliver("mail")
    (mail,) = mails_to(mail_server.url, f"{now}@example.com")
    assert mail.subject == "Your account will be removed"
    since = row(own_service, now)[f"{status}_at"]
    end = since + (timedelta(days=30) if grace == "720h" else timedelta(days=1))
    assert f"{end.astimezone(UTC):%H:%M}" in mail.text
    assert mails_to(mail_server.url, f"{not_yet}@example.com") == []


def test_a_warning_that_is_off_is_not_sent(own_service: Service, mail_server: MailServer) -> None:
    ada, boss = person(own_service), administrator(own_service)
    assert own_service.call("delete_user", token=boss.token, user_id=ada.id).status == 204
    own_service.execute(
        "UPDATE users SET deleted_at = now() - %s * interval '1 second' WHERE id = %s", GRACE - DAY, ada.id
    )
    sweep(warned=1)
    warning = ("account_removal", ada.email)
    assert warning in mails(own_service, ada.id)
    assert own_service.call("enable_user", token=boss.token, user_id=ada.id).status == 200
    assert warning not in mails(own_service, ada.id)
    assert row(own_service, ada.id)["removal_warned_at"] is None


def test_a_warning_that_is_being_sent_when_it_comes_off_is_not(own_service: Service, mail_server: MailServer) -> None:
    user_id = ended(own_service, ago=GRACE - DAY)
    sweep(warned=1)
    own_service.execute("UPDATE users SET status = 0, removal_warned_at = NULL")
    assert deliver("mail")["delivered"] == 1
    assert mails_to(mail_server.url, f"{user_id}@example.com") == []


def test_a_second_deletion_is_warned_of_again(own_service: Service) -> None:
    ada, boss = person(own_service), administrator(own_service)
    for _ in range(2):
        assert own_service.call("delete_user", token=boss.token, user_id=ada.id).status == 204
        statement = "UPDATE users SET deleted_at = now() - %s * interval '1 second' WHERE id = %s"
        own_service.execute(statement, GRACE - DAY, ada.id)
        sweep(warned=1)
        assert own_service.call("enable_user", token=boss.token, user_id=ada.id).status == 200


def test_many_warnings_leave_room_for_other_mails(own_service: Service) -> None:
    """After a takeover: each becomes due a little later than the one before. None is late, and no alarm is raised."""
    own_service.execute(
        "INSERT INTO users (id, email, first_name, last_name, status, disabled_at)"
        " SELECT md5(n::text), n || '@example.com', 'Ada', 'Lovelace', 1, now() - %s * interval '1 second'"
        " FROM generate_series(1, 1234) n",
        GRACE - DAY,
    )
    sweep(warned=1234)
    (found,) = own_service.execute(
        "SELECT count(*), count(DISTINCT user_id) AS users, count(*) FILTER (WHERE next_attempt_at <= now()) AS due,"
        " count(*) FILTER (WHERE created_at = next_attempt_at) AS aged,"
        " max(next_attempt_at) - min(next_attempt_at) AS span FROM users_outbox WHERE name = 'account_removal'"
    )
    assert (found["count"], found["users"], found["aged"]) == (1234, 1234, 1234)
    assert timedelta(seconds=120) < found["span"] < timedelta(seconds=130)
    assert found["due"] < 1234
    own_service.execute("DELETE FROM users_outbox WHERE next_attempt_at <= now() + interval '1 minute'")
    assert oldest_age() == outbox_state().oldest_age == 0
    assert min(each.age for each in undelivered(channel="mail", only_parked=False, limit=9)) == 0
    own_service.register()
    own_service.execute("UPDATE users_outbox SET created_at = now() - interval '1 hour' WHERE name = 'user.create'")
    assert 3600 <= oldest_age() < 3660
    assert 3600 <= outbox_state().oldest_age < 3660


def test_a_removal_that_comes_without_a_run_before_is_not_put_off(own_service: Service) -> None:
    user_id = ended(own_service, ago=GRACE + DAY)
    sweep(swept=1)
    assert mails(own_service, user_id) == []
