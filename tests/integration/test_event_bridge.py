"""Events that go to EventBridge: what arrives there, what it refuses, and what it cannot take now."""

import io
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from background.delivery import event_bridge
from background.delivery.event_bridge import EventBridgeChannel
from background.delivery.event_stream import event_channel
from background.delivery.ports import DestinationUnavailable, Row
from tests.event_bridge_server import Bus, EventBridgeServer
from tests.http_server import HttpServer, Received, http_server
from tests.service import Service
from users.settings import WrongSettings

LIMIT = 256 * 1024


@pytest.fixture(scope="module")
def server(parts_folder: Path) -> Iterator[EventBridgeServer]:
    with EventBridgeServer(parts_folder / "eventbridge.log") as started:
        yield started


@pytest.fixture
def bus(server: EventBridgeServer) -> Bus:
    return server.make_bus()


@pytest.fixture
def bridged(emptied_service: Service, server: EventBridgeServer, bus: Bus) -> Iterator[Service]:
    """A service whose events go to the bus."""
    with emptied_service.configured(
        MG_USERS_ES_URL=f"eventbridge://{bus.name}", AWS_ENDPOINT_URL_EVENTBRIDGE=server.url
    ):
        yield emptied_service


def put(service: Service, user_id: str | None, **payload: Any) -> str:
    """Write an event; its id."""
    row_id = str(uuid.uuid4())
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload) VALUES (%s, %s, 'event', 'user.test', %s)",
        *(row_id, user_id, json.dumps(payload)),
    )
    return row_id


def left(service: Service) -> list[dict[str, Any]]:
    return service.execute("SELECT * FROM users_outbox WHERE channel = 'event' ORDER BY seq")


# --- what arrives


def test_a_registration_arrives(bridged: Service, bus: Bus) -> None:
    user = bridged.register(metadata={"m": "é😀"}, private_metadata={"p": "canary-4711"})
    (row,) = left(bridged)
    assert bridged.deliver()["delivered"] == 2
    (event,) = bus.events()
    assert (event["source"], event["detail-type"]) == ("magistrala.users", "user.create")
    assert event["detail"] == {**row["payload"], "event_id": str(row["id"]), "sequence": row["seq"]}
    assert event["detail"]["id"] == user["id"]
    assert event["detail"]["metadata"] == {"m": "é😀"}
    assert event["time"][:19] == user["created_at"][:19]
    assert "canary" not in json.dumps(event)


def test_more_events_than_a_call_takes_in_the_order_of_each_account(bridged: Service, bus: Bus) -> None:
    users = [str(uuid.uuid4()) for _ in range(12)]
    for number in range(3):
        for user_id in users:
            put(bridged, user_id, id=user_id, number=number)
    assert bridged.deliver()["delivered"] == 36
    arrived = [event["detail"] for event in bus.events()]
    for user_id in users:
        assert [detail["number"] for detail in arrived if detail["id"] == user_id] == list(range(3))


def test_an_event_that_is_too_large_is_refused_alone(bridged: Service, bus: Bus) -> None:
    large, small = str(uuid.uuid4()), str(uuid.uuid4())
    put(bridged, large, text="x" * LIMIT)
    put(bridged, large, id="behind")
    put(bridged, small, id=small)
    counts = bridged.deliver()
    assert (counts["delivered"], counts["refused"]) == (1, 1)
    first, behind = left(bridged)
    assert "larger than EventBridge takes" in first["last_error"]
    assert (behind["attempts"], behind["last_error"]) == (0, None)
    assert [event["detail"]["id"] for event in bus.events()] == [small]


def test_an_event_of_a_large_account_is_told_without_the_large_part(bridged: Service, bus: Bus) -> None:
    user_id = str(uuid.uuid4())
    put(bridged, user_id, id=user_id, metadata={"a": "é" * LIMIT}, tags=["t"], email="a@b.c")
    put(bridged, user_id, id=user_id, tags=["x" * 100_000] * 2, metadata={"a": "x" * 100_000})
    put(bridged, user_id, id="behind")
    counts = bridged.deliver()
    assert (counts["delivered"], counts["refused"]) == (3, 0)
    first, second, behind = (event["detail"] for event in bus.events())
    assert (first["left_out"], first["tags"], first["email"]) == (["metadata"], ["t"], "a@b.c")
    assert second["left_out"] == ["tags"], "the largest goes first, and no more than is needed"
    assert len(second["metadata"]["a"]) == 100_000
    assert behind["id"] == "behind"


def test_the_largest_event_is_taken(bridged: Service, bus: Bus) -> None:
    """By the size that AWS's guide defines: source, detail type, detail, and 14 bytes of time; less than 256 KB."""
    row_id = put(bridged, None, occurred_at=1, text="")
    (row,) = left(bridged)
    detail = {**row["payload"], "event_id": row_id, "sequence": row["seq"]}
    empty = len("magistrala.users") + len("user.test") + len(json.dumps(detail, separators=(",", ":"))) + 14
    for size, delivered in ((LIMIT - empty, 0), (LIMIT - empty - 1, 1)):
        bridged.execute(
            "UPDATE users_outbox SET next_attempt_at = now(),"
            " payload = jsonb_build_object('occurred_at', 1, 'text', repeat('x', %s))",
            size,
        )
        assert bridged.deliver()["delivered"] == delivered


# --- what is wrong with the bus


def test_a_missing_bus_is_told_and_costs_nothing(bridged: Service, log_output: io.StringIO) -> None:
    put(bridged, "u", id="u")
    with bridged.configured(MG_USERS_ES_URL="eventbridge://nowhere"):
        assert bridged.deliver()["unavailable"] == 1
    assert "there is no event bus nowhere: make it, or set MG_USERS_ES_URL" in log_output.getvalue()
    assert [row["attempts"] for row in left(bridged)] == [0]
    assert bridged.deliver()["delivered"] == 1


@pytest.mark.parametrize("url", ["eventbridge://", "eventbridge://a bus", "eventbridge://bus?x=1"])
def test_a_bus_that_cannot_be(service: Service, url: str) -> None:
    with service.configured(MG_USERS_ES_URL=url), pytest.raises(WrongSettings, match="name or ARN"):
        event_channel()


# --- what moto cannot do: an endpoint that speaks EventBridge's protocol and answers as it is told

Answer = Callable[[list[dict[str, Any]]], tuple[int, dict[str, Any]]]


@contextmanager
def answering(service: Service, answer: Answer) -> Iterator[HttpServer]:
    """A service whose PutEvents is answered by ``answer``, from the entries: status and body."""

    def decide(request: Received) -> tuple[int, bytes]:
        is_put = request.headers["x-amz-target"] == "AWSEvents.PutEvents"
        status, body = answer(json.loads(request.body)["Entries"]) if is_put else (200, {})
        return status, json.dumps(body).encode()

    with http_server() as endpoint:
        endpoint.answer_to = decide
        with service.configured(MG_USERS_ES_URL="eventbridge://users", AWS_ENDPOINT_URL_EVENTBRIDGE=endpoint.url):
            yield endpoint


def calls(endpoint: HttpServer) -> list[list[str]]:
    """The ``id`` of each entry of each PutEvents."""
    puts = [each for each in endpoint.received if each.headers["x-amz-target"] == "AWSEvents.PutEvents"]
    return [[json.loads(entry["Detail"])["id"] for entry in json.loads(put.body)["Entries"]] for put in puts]


def results(entries: list[dict[str, Any]], codes: dict[str, str]) -> tuple[int, dict[str, Any]]:
    """An answer that fails the entries whose ``id`` has a code."""
    found = [codes.get(json.loads(entry["Detail"])["id"]) for entry in entries]
    told = [{"ErrorCode": code, "ErrorMessage": "m"} if code else {"EventId": "1"} for code in found]
    return 200, {"FailedEntryCount": len([code for code in found if code]), "Entries": told}


def test_a_throttled_entry_is_put_again_alone(emptied_service: Service) -> None:
    codes = {"b": "ThrottlingException"}

    def once(entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        answer = results(entries, codes)
        codes.clear()
        return answer

    for name in "abc":
        put(emptied_service, name, id=name)
    with answering(emptied_service, once) as endpoint:
        assert emptied_service.deliver()["delivered"] == 3
    assert calls(endpoint) == [["a", "b", "c"], ["b"]]


@pytest.mark.parametrize("code", ["ThrottlingException", "InternalFailure", "AccessDeniedException"])
def test_an_entry_that_keeps_failing_costs_no_attempt_and_holds_back_its_account(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setattr(event_bridge, "_PAUSES", (0.0, 0.0, 0.0))
    for name in "aabb":
        put(emptied_service, name, id=name)
    with answering(emptied_service, lambda entries: results(entries, {"b": code})) as endpoint:
        counts = emptied_service.deliver()
    assert (counts["delivered"], counts["refused"], counts["unavailable"]) == (1, 0, 3)
    assert {tuple(call) for call in calls(endpoint)} <= {("a", "b"), ("b",)}
    assert [(row["user_id"], row["attempts"]) for row in left(emptied_service)] == [("a", 0), ("b", 0), ("b", 0)]


@pytest.mark.parametrize("code", ["MalformedDetail", "InvalidArgument"])
def test_a_malformed_entry_is_refused_alone(emptied_service: Service, code: str) -> None:
    for name in "aabb":
        put(emptied_service, name, id=name)
    with answering(emptied_service, lambda entries: results(entries, {"b": code})):
        counts = emptied_service.deliver()
    assert (counts["delivered"], counts["refused"], counts["unavailable"]) == (2, 1, 0)
    assert [(row["attempts"], row["last_error"]) for row in left(emptied_service)] == [(1, code), (0, None)]


def test_an_invalid_call_is_taken_apart(emptied_service: Service) -> None:
    """ValidationException does not say which entry it is about."""

    def one_is_invalid(entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        if any(json.loads(entry["Detail"])["id"] == "b" for entry in entries):
            return 400, {"__type": "ValidationException", "message": "m"}
        return results(entries, {})

    for name in "abc":
        put(emptied_service, name, id=name)
    with answering(emptied_service, one_is_invalid):
        counts = emptied_service.deliver()
    assert (counts["delivered"], counts["refused"]) == (2, 1)
    assert [(row["user_id"], row["last_error"]) for row in left(emptied_service)] == [("b", "InvalidArgument")]


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (400, "AccessDeniedException", "must allow events:PutEvents on the event bus users"),
        (400, "ResourceNotFoundException", "there is no event bus users"),
        (400, "ThrottlingException", "EventBridge: ThrottlingException"),
        pytest.param(500, "InternalException", "EventBridge: InternalException", marks=pytest.mark.long),
    ],
)
def test_a_call_that_fails_costs_no_attempt(
    emptied_service: Service, log_output: io.StringIO, status: int, error: str, told: str
) -> None:
    put(emptied_service, "a", id="a")
    with answering(emptied_service, lambda _: (status, {"__type": error, "message": "m"})):
        assert emptied_service.deliver()["unavailable"] == 1
    assert told in log_output.getvalue()
    assert [row["attempts"] for row in left(emptied_service)] == [0]


def test_who_may_not_look_at_the_bus_may_still_put(emptied_service: Service, log_output: io.StringIO) -> None:
    def answer() -> None:
        is_put = endpoint.received[-1].headers["x-amz-target"] == "AWSEvents.PutEvents"
        endpoint.status = 200 if is_put else 400
        endpoint.body = b'{"Entries": [{"EventId": "1"}]}' if is_put else b'{"__type": "AccessDeniedException"}'

    put(emptied_service, "a", id="a")
    with http_server() as endpoint:
        endpoint.before_answer = answer
        with emptied_service.configured(
            MG_USERS_ES_URL="eventbridge://users", AWS_ENDPOINT_URL_EVENTBRIDGE=endpoint.url
        ):
            assert emptied_service.deliver()["delivered"] == 1
    assert "event bus not looked at" in log_output.getvalue()


def test_an_endpoint_that_is_away_costs_no_attempt(emptied_service: Service) -> None:
    put(emptied_service, "a", id="a")
    with emptied_service.configured(
        MG_USERS_ES_URL="eventbridge://users", AWS_ENDPOINT_URL_EVENTBRIDGE="http://127.0.0.1:1"
    ):
        assert emptied_service.deliver()["unavailable"] == 1
    assert [row["attempts"] for row in left(emptied_service)] == [0]


def test_a_call_holds_less_than_it_may(emptied_service: Service) -> None:
    """Three of these are more than 256 KB."""
    for name in "abc":
        put(emptied_service, name, id=name, text="x" * 100_000)
    with answering(emptied_service, lambda entries: results(entries, {})) as endpoint:
        assert emptied_service.deliver()["delivered"] == 3
    assert sorted(calls(endpoint)) == [["a", "b"], ["c"]]


# --- calls at the same time, and a client that is kept


def rows(count: int) -> list[Row]:
    """Rows of as many accounts."""
    return [
        Row(seq=n, id=f"{n}", user_id=f"u{n}", channel="event", name="user.test", payload={"id": f"{n:02}"}, attempts=1)
        for n in range(count)
    ]


def test_the_calls_of_a_group_are_made_at_the_same_time(emptied_service: Service) -> None:
    together = threading.Barrier(3, timeout=10)

    def when_all_are_there(entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        together.wait()
        return results(entries, {})

    with answering(emptied_service, when_all_are_there), closing(EventBridgeChannel("eventbridge://users")) as channel:
        assert [outcome.row.seq for outcome in channel.deliver(rows(30))] == list(range(30))


def test_what_other_calls_put_counts_when_one_fails(emptied_service: Service) -> None:
    def one_fails(entries: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        if any(json.loads(entry["Detail"])["id"] == "15" for entry in entries):
            return 400, {"__type": "AccessDeniedException", "message": "m"}
        return results(entries, {})

    with answering(emptied_service, one_fails), closing(EventBridgeChannel("eventbridge://users")) as channel:
        outcomes = channel.deliver(rows(30))
        told: list[int] = []
        with pytest.raises(DestinationUnavailable, match="AccessDenied"):
            told.extend(outcome.row.seq for outcome in outcomes)
    assert told == [*range(10), *range(20, 30)]


def test_the_bus_is_looked_at_once_a_minute(emptied_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus that is deleted takes events and drops them, so it is looked at again and again."""

    def looks() -> int:
        return len([each for each in endpoint.received if each.headers["x-amz-target"].endswith("DescribeEventBus")])

    with answering(emptied_service, lambda entries: results(entries, {})) as endpoint:
        for _ in range(3):
            put(emptied_service, "a", id="a")
            assert emptied_service.deliver()["delivered"] == 1
        assert (looks(), len(calls(endpoint))) == (1, 3)
        monkeypatch.setattr(event_bridge, "_BUS_IS_KNOWN", 0.0)
        put(emptied_service, "a", id="a")
        assert emptied_service.deliver()["delivered"] == 1
        assert looks() == 2


def test_a_kept_connection_that_ended_is_replaced(emptied_service: Service) -> None:
    """Between two runs, or under a call: the client is kept, and puts the entries again on another connection."""

    def hang_up() -> None:
        endpoint.before_answer = lambda: None
        raise ConnectionError

    with answering(emptied_service, lambda entries: results(entries, {})) as endpoint:
        put(emptied_service, "a", id="a")
        assert emptied_service.deliver()["delivered"] == 1
        endpoint.before_answer = hang_up
        put(emptied_service, "a", id="b")
        assert emptied_service.deliver()["delivered"] == 1
    assert calls(endpoint) == [["a"], ["b"], ["b"]]


# --- which event store


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("amqp://guest:guest@fluxmq:5682", "not published to FluxMQ any more; set nats://"),
        ("redis://es-redis:6379/0", "not published to Redis any more; set nats://"),
        ("http://example.com", "must be nats://"),
        ("localhost:4222", "must be nats://"),
        ("nats://", "each server must be"),
        ("nats://a:4222,redis://b", "each server must be"),
        ("nats://a:port", "each server must be"),
    ],
)
def test_an_event_store_that_there_is_none_for(service: Service, url: str, told: str) -> None:
    with service.configured(MG_USERS_ES_URL=url), pytest.raises(WrongSettings, match="MG_USERS_ES_URL") as raised:
        event_channel()
    assert told in str(raised.value)
    assert "guest" not in str(raised.value)


def test_without_a_region_it_is_told_what_is_missing(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    with pytest.raises(WrongSettings, match="AWS_REGION"):
        EventBridgeChannel("eventbridge://users")
