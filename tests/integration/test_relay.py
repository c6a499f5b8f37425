"""The relay with channels that fail in every way: what is charged, who is held up, whose a row is."""

import io
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from background.delivery import relations, relay
from background.delivery.ports import DestinationUnavailable, Outcome, Row
from background.delivery.relations import RelationChannel
from background.delivery.relay import deliver_due
from background.repository.undelivered import ChannelState, outbox_state
from tests.service import Service
from users.models import Role
from users.peers import spicedb
from users.settings import Settings


class Told:
    """A channel that delivers what ``fails`` does not fail on."""

    batch = 50
    group = 10

    def __init__(self, fails: Callable[[Row], None] = lambda _: None) -> None:
        self.rows: list[str] = []
        self.closed = 0
        self._fails = fails

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        assert len({row.user_id for row in rows}) == len(rows), "one row of an account at once"
        for row in rows:
            self._fails(row)
            self.rows.append(row.name)
            yield Outcome(row)

    def close(self) -> None:
        self.closed += 1


def more() -> bool:
    """There is always time left."""
    return True


def put(service: Service, user_id: str, name: str, channel: str = "event") -> None:
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload) VALUES (%s, %s, %s, %s, '{}')",
        *(str(uuid.uuid4()), user_id, channel, name),
    )


def put_of_accounts(service: Service, count: int) -> None:
    """An event each of the accounts u1, u2, …"""
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
        " SELECT gen_random_uuid(), 'u' || number, 'event', 'x', '{}' FROM generate_series(1, %s) number",
        count,
    )


def left(service: Service) -> list[tuple[Any, ...]]:
    found = service.execute("SELECT name, attempts, last_error FROM users_outbox ORDER BY seq")
    return [tuple(row.values()) for row in found]


def test_an_error_that_was_not_foreseen_is_its_rows_and_holds_up_no_other_channel(
    emptied_service: Service, log_output: io.StringIO
) -> None:
    def fails(row: Row) -> None:
        if row.name == "poison":
            raise KeyError("canary-4711")

    for user, name in (("a", "a1"), ("b", "poison"), ("b", "b2"), ("c", "c1")):
        put(emptied_service, user, name)
    put(emptied_service, "a", "mail", "mail")
    broken, mails = Told(fails), Told()
    counts = deliver_due({"event": lambda: broken, "mail": lambda: mails}, more)
    assert counts == {"delivered": 2, "refused": 1, "parked": 0, "unavailable": 2}
    assert left(emptied_service) == [("poison", 1, "KeyError"), ("b2", 0, None), ("c1", 0, None)]
    assert deliver_due({"event": lambda: broken}, more)["delivered"] == 1
    assert broken.rows == ["a1", "c1"]
    assert (broken.closed, mails.closed) == (2, 1)
    assert "KeyError" in log_output.getvalue()
    assert "canary" not in log_output.getvalue()


def test_a_channel_that_cannot_be_made_holds_up_no_other_one(emptied_service: Service) -> None:
    def broken() -> Told:
        raise ImportError

    put(emptied_service, "a", "a1")
    put(emptied_service, "a", "mail", "mail")
    assert deliver_due({"event": broken, "mail": Told}, more)["delivered"] == 1
    assert left(emptied_service) == [("a1", 0, None)]


def test_what_comes_behind_another_relays_row_is_delivered_too(emptied_service: Service) -> None:
    """The other relay claims the account's first mail, and has no eye for what this one writes behind it."""

    def first_mail_claimed() -> Told:
        emptied_service.execute("UPDATE users_outbox SET next_attempt_at = now() + interval '1 minute'")
        put(emptied_service, "a", "wish", "reset_request")
        return mails

    def first_mail_sent(_: Row) -> None:
        emptied_service.execute("DELETE FROM users_outbox WHERE channel = 'mail'")
        put(emptied_service, "a", "second", "mail")

    put(emptied_service, "a", "first", "mail")
    put(emptied_service, "b", "event")
    mails, wishes = Told(), Told(first_mail_sent)
    deliver_due({"event": Told, "mail": first_mail_claimed, "reset_request": lambda: wishes}, more)
    assert (wishes.rows, mails.rows) == (["wish"], ["second"])


def test_a_relay_that_outlived_its_lease_settles_nothing(emptied_service: Service) -> None:
    """Another one has claimed the rows meanwhile: they are its own."""
    for name in ("delivered", "refused", "left"):
        put(emptied_service, name, name)
    late = relay._claim("event", 10)
    emptied_service.execute("UPDATE users_outbox SET next_attempt_at = now() - interval '1 second'")
    assert len(relay._claim("event", 10).rows) == 3
    counts = dict.fromkeys(("delivered", "refused", "parked"), 0)
    relay._settle(late, [Outcome(late.rows[0]), Outcome(late.rows[1], "no")], counts)
    relay._release(late, {late.rows[2].seq})
    assert left(emptied_service) == [("delivered", 2, None), ("refused", 2, None), ("left", 2, None)]


def test_a_slow_channel_gives_up_its_turn_to_the_others(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_TURN", 0.2)
    for number in range(3):
        put(emptied_service, f"u{number}", f"slow{number}")
    put(emptied_service, "u0", "quick", "mail")
    order: list[str] = []

    def slow(row: Row) -> None:
        time.sleep(0.25)
        order.append(row.name)

    channel = Told(slow)
    channel.group = 1
    assert deliver_due({"event": lambda: channel, "mail": lambda: Told(lambda row: order.append(row.name))}, more)
    assert order == ["slow0", "quick", "slow1", "slow2"]


def test_a_destination_that_is_away_costs_little(emptied_service: Service) -> None:
    """A run is woken by each change: it must not touch hundreds of rows each time to find that out."""

    def away(_row: Row) -> None:
        raise DestinationUnavailable

    put_of_accounts(emptied_service, 25)
    before = {row["seq"]: row["xmin"] for row in emptied_service.execute("SELECT seq, xmin FROM users_outbox")}
    assert deliver_due({"event": lambda: Told(away)}, more)["unavailable"] == 10
    after = {row["seq"]: row["xmin"] for row in emptied_service.execute("SELECT seq, xmin FROM users_outbox")}
    assert len(before.items() - after.items()) == 10


def test_batches_grow_as_they_are_taken(emptied_service: Service) -> None:
    sizes: list[int] = []

    class Groups(Told):
        group = 50

        def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
            sizes.append(len(rows))
            return super().deliver(rows)

    put_of_accounts(emptied_service, 120)
    assert deliver_due({"event": Groups}, more)["delivered"] == 120
    assert sizes == [10, 40, 50, 20]


def test_a_row_that_may_be_what_ends_relays_goes_alone(emptied_service: Service) -> None:
    """With those of its account before it; the others wait for the next claim."""
    handed_over: list[list[str]] = []

    class Groups(Told):
        def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
            handed_over.append([row.name for row in rows])
            return super().deliver(rows)

    for user, name in (("a", "a1"), ("b", "b1"), ("b", "b2"), ("c", "c1")):
        put(emptied_service, user, name)
    emptied_service.execute("UPDATE users_outbox SET attempts = %s WHERE name = 'b2'", relay._SUSPECT_ATTEMPTS)
    assert deliver_due({"event": Groups}, more)["delivered"] == 4
    assert handed_over == [["b1"], ["b2"], ["a1", "c1"]]


def test_a_row_that_was_refused_many_times_goes_with_the_others(emptied_service: Service) -> None:
    """It is no suspect: there was an outcome. Alone, each of thousands would cost a claim of its own."""
    for user in "ab":
        put(emptied_service, user, user)
    emptied_service.execute("UPDATE users_outbox SET attempts = %s, last_error = 'no'", relay._SUSPECT_ATTEMPTS + 1)
    channel = Told()
    assert deliver_due({"event": lambda: channel}, iter((True, True, False)).__next__)["delivered"] == 2


def test_large_rows_make_a_small_batch(emptied_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay, "_BATCH_BYTES", 2500)
    for user in "abcd":
        put(emptied_service, user, user)
    emptied_service.execute("UPDATE users_outbox SET payload = jsonb_build_object('x', repeat('x', 1000))")
    assert [row.name for row in relay._claim("event", 10).rows] == ["a", "b", "c"]


def test_many_rows_of_one_account_do_not_make_a_claim_slow(own_service: Service) -> None:
    """An account's earlier rows are looked for by an index: joined, 20 000 rows took half a minute."""
    own_service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
        " SELECT gen_random_uuid(), 'u', 'event', 'user.test', '{}' FROM generate_series(1, 20000)"
    )
    own_service.execute(
        "ALTER DATABASE " + own_service.environment["MG_USERS_DB_NAME"] + " SET statement_timeout = '5s'"
    )
    assert len(relay._claim("event", 500).rows) == 500


def test_accounts_that_wait_are_passed_over_within_the_index(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stepped through one by one, 100 000 took two seconds, which is all the time that a statement has."""
    monkeypatch.setattr(relay, "_STEPS", 3)
    put_of_accounts(emptied_service, 100)
    emptied_service.execute(
        "UPDATE users_outbox SET next_attempt_at = now() + interval '1 hour' WHERE user_id <> 'u50'"
    )
    assert [row.user_id for row in relay._claim("event", 10).rows] == ["u50"]


def test_more_blocked_accounts_than_a_claim_looks_at_hide_no_other_one(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "_STEPS", 3)
    for _ in range(8):
        user_id = str(uuid.uuid4())
        put(emptied_service, user_id, "parked")
        put(emptied_service, user_id, "behind")
    emptied_service.execute("UPDATE users_outbox SET parked_at = now() WHERE name = 'parked'")
    put(emptied_service, str(uuid.uuid4()), "due")
    found = 0
    for _ in range(100):
        claim = relay._claim("event", 10)
        assert [row.name for row in claim.rows] in (["due"], [])
        relay._release(claim, {row.seq for row in claim.rows})
        found += len(claim.rows)
    assert 0 < found < 100


def test_a_claim_begins_anywhere_and_goes_around_once(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that an account is not the last one for ever while there is more to deliver than can be."""
    monkeypatch.setattr(uuid, "uuid4", lambda: "m")
    emptied_service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
        " SELECT gen_random_uuid(), user_id, 'event', user_id, '{}' FROM unnest('{a,b,m,z}'::text[]) user_id"
    )
    assert [[row.name for row in relay._claim("event", 1).rows] for _ in range(5)] == [["m"], ["z"], ["a"], ["b"], []]
    emptied_service.execute("UPDATE users_outbox SET next_attempt_at = now()")
    assert [row.name for row in relay._claim("event", 10).rows] == ["a", "b", "m", "z"]


# --- SpiceDB: refuses one, refuses all, is away


class RpcError(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE])
def test_a_relation_that_spicedb_refuses(monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode) -> None:
    assert [outcome.refusal for outcome in _granted(monkeypatch, code)] == [f"SpiceDB: {code.name}"]


@pytest.mark.parametrize("name", ["UNAVAILABLE", "DEADLINE_EXCEEDED", "FAILED_PRECONDITION", "UNAUTHENTICATED"])
def test_a_spicedb_that_would_refuse_all_costs_no_attempt(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(DestinationUnavailable, match=f"spicedb: {name}"):
        _granted(monkeypatch, grpc.StatusCode[name])


def _granted(monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode) -> list[Outcome]:
    """Return the outcomes of a relation that SpiceDB answers with a status."""

    class SpiceDB:
        def WriteRelationships(self, *_arguments: Any, **_options: Any) -> None:  # noqa: N802
            raise RpcError(code)

    monkeypatch.setattr(spicedb, "settings", lambda: Settings({"MG_SPICEDB_HOST": "localhost"}))
    monkeypatch.setattr(spicedb, "_permissions", SpiceDB)
    monkeypatch.setattr(relations, "settle", lambda user_id: spicedb.grant(user_id, Role.USER))
    payload = {"user_id": "u", "administrator": False}
    row = Row(seq=1, id="1", user_id="u", channel="relation", name="grant", payload=payload, attempts=1)
    return list(RelationChannel().deliver([row]))


# --- what is left


def test_the_state_of_the_outbox(emptied_service: Service) -> None:
    assert outbox_state().channels == {}
    assert (outbox_state().outstanding, outbox_state().oldest_age, outbox_state().parked) == (0, 0.0, 0)
    for name, channel in (("a", "event"), ("b", "event"), ("c", "mail")):
        put(emptied_service, name, name, channel)
    emptied_service.execute("UPDATE users_outbox SET created_at = now() - interval '100 seconds' WHERE name = 'a'")
    emptied_service.execute("UPDATE users_outbox SET parked_at = now() WHERE name = 'c'")
    state = outbox_state()
    assert (state.outstanding, state.parked) == (2, 1)
    assert 100 <= state.oldest_age < 160
    assert state.channels["mail"] == ChannelState(waiting=0, oldest_age=0.0, parked=1)
