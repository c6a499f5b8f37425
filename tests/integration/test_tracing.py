"""Spans to MG_JAEGER_URL: what they tell, whose trace they are in, and that nobody waits for a collector."""

import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc
import pytest

from tests.otlp_receiver import Receiver, otlp_receiver
from tests.service import ROOT, Service
from users.settings import Settings, WrongSettings

SERVER, CLIENT = 2, 3
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"
CALLER_TRACE, CALLER_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as started:
        yield started


def test_an_operation_with_its_statements_and_calls(service: Service, receiver: Receiver) -> None:
    user = service.register()
    with service.configured(MG_JAEGER_URL=receiver.url):
        answer = service.call(
            "issue_token", {"identity": user["email"], "secret": user["secret"]}, headers={"x-request-id": "my-id"}
        )
    assert answer.status == 201
    operation = receiver.named("issue_token")
    assert (operation.kind, operation.parent, operation.is_error) == (SERVER, "", False)
    assert operation.attributes == {
        "users.operation": "issue_token",
        "users.request_id": "my-id",
        "http.request.method": "POST",
        "http.route": "/users/tokens/issue",
        "http.response.status_code": 201,
    }
    children = {span.name: span for span in receiver.spans() if span is not operation and span.name != "issue_token"}
    assert children.keys() == {
        "begin_login",
        "count_login",
        "token.v1.TokenService/Issue",
        "record_login",
    }
    assert {(child.kind, child.parent, child.trace_id) for child in children.values()} == {
        (CLIENT, operation.span_id, operation.trace_id)
    }
    assert children["begin_login"].attributes == {
        "db.system.name": "postgresql",
        "db.query.summary": "begin_login",
    }
    assert children["token.v1.TokenService/Issue"].attributes == {
        "rpc.system": "grpc",
        "rpc.service": "token.v1.TokenService",
        "rpc.method": "Issue",
    }
    assert len(receiver.server.received) == 1, "one export for one request"


def test_auth_is_told_whose_trace_a_call_is_in(service: Service, receiver: Receiver) -> None:
    asked: list[tuple[str, str]] = []

    class Asked(grpc.GenericRpcHandler):
        def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:
            """Nothing is served."""
            metadata = dict(handler_call_details.invocation_metadata or ())
            asked.append((handler_call_details.method, str(metadata.get("traceparent"))))

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Asked()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        variables = {"MG_AUTH_GRPC_URL": f"127.0.0.1:{port}", "MG_AUTH_KEYS_ALGORITHM": "HS256"}
        with service.configured(MG_JAEGER_URL=receiver.url, **variables):
            token = "eyJhbGciOiJIUzI1NiJ9.e30.c2ln"  # whose it is, Auth alone could say
            assert service.call("view_profile", token=token).status == 503
    finally:
        server.stop(None).wait()
    call = receiver.named("auth.v1.AuthService/Authenticate")
    assert asked == [("/auth.v1.AuthService/Authenticate", f"00-{call.trace_id}-{call.span_id}-01")]


def test_what_fails_is_an_error(service: Service, receiver: Receiver) -> None:
    user = service.register()
    with service.configured(MG_JAEGER_URL=receiver.url, MG_AUTH_GRPC_URL="127.0.0.1:1"):
        answer = service.call("issue_token", {"identity": user["email"], "secret": user["secret"]})
    assert answer.status == 503
    operation, call = receiver.named("issue_token"), receiver.named("token.v1.TokenService/Issue")
    assert (operation.is_error, operation.attributes["http.response.status_code"]) == (True, 503)
    assert (call.is_error, call.attributes["error.type"]) == (True, "UNAVAILABLE")


def test_a_refusal_is_none(service: Service, receiver: Receiver) -> None:
    with service.configured(MG_JAEGER_URL=receiver.url):
        assert service.call("view_profile").status == 401
    operation = receiver.named("view_profile")
    assert (operation.is_error, operation.attributes["http.response.status_code"]) == (False, 401)


def test_the_route_and_not_the_path_is_told(service: Service, receiver: Receiver) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    with service.configured(MG_JAEGER_URL=receiver.url, MG_ALLOW_UNVERIFIED_USER="true"):
        assert service.call("view_user", token=token, user_id=user["id"]).status == 200
    assert receiver.named("view_user").attributes["http.route"] == "/users/{id}"
    assert user["id"].encode() not in receiver.raw


def test_the_span_is_in_its_callers_trace(service: Service, receiver: Receiver) -> None:
    with service.configured(MG_JAEGER_URL=receiver.url):
        service.call("view_profile", headers={"traceparent": CALLER.format(flags="01")})
    operation = receiver.named("view_profile")
    assert (operation.trace_id, operation.parent) == (CALLER_TRACE, CALLER_SPAN)


@pytest.mark.parametrize(
    ("ratio", "traceparent", "exported"),
    [
        ("0", None, False),
        ("0", CALLER.format(flags="01"), True),
        ("1.0", None, True),
        ("1.0", CALLER.format(flags="00"), False),
        ("0", "nonsense", False),
    ],
)
def test_the_callers_sampling_goes_before_the_ratio(
    service: Service, receiver: Receiver, ratio: str, traceparent: str | None, exported: bool
) -> None:
    headers = {"traceparent": traceparent} if traceparent else {}
    with service.configured(MG_JAEGER_URL=receiver.url, MG_JAEGER_TRACE_RATIO=ratio):
        service.call("view_profile", headers=headers)
    assert [span.name for span in receiver.spans()] == ["view_profile"] * exported


def test_log_lines_and_spans_find_each_other(
    service: Service, receiver: Receiver, log_output: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
    with service.configured(MG_JAEGER_URL=receiver.url):
        service.call("view_profile", headers={"x-request-id": "my-id"})
    service.call("view_profile", headers={"x-request-id": "another"})
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    operation = receiver.named("view_profile")
    assert {(line.get("trace_id"), line.get("span_id")) for line in lines if line["request_id"] == "my-id"} == {
        (operation.trace_id, operation.span_id)
    }
    assert all("trace_id" not in line for line in lines if line["request_id"] == "another")
    assert {line["xray_trace_id"] for line in lines} == {"1-5759e988-bd862e3fe1be46a994272793"}
    assert operation.attributes["users.request_id"] == "my-id"


def test_an_internal_function(service: Service, receiver: Receiver) -> None:
    with service.configured(MG_JAEGER_URL=receiver.url):
        service.deliver()
    delivery = receiver.named("deliver_outbox")
    assert (delivery.kind, delivery.is_error) == (SERVER, False)
    assert delivery.attributes.keys() == {"users.operation", "users.request_id"}
    assert {span.trace_id for span in receiver.spans()} == {delivery.trace_id}


def test_a_collector_that_hangs_is_left_alone(service: Service, receiver: Receiver, log_output: io.StringIO) -> None:
    release = threading.Event()
    receiver.server.before_answer = lambda: (release.wait(20), None)[1]
    with service.configured(MG_JAEGER_URL=receiver.url):
        try:
            times = []
            for _ in range(4):
                started = time.perf_counter()
                assert service.call("view_profile").status == 401
                times.append(time.perf_counter() - started)
        finally:
            release.set()
    assert times[0] < 1.5, "imports, and one wait"
    assert max(times[1:]) < 0.2
    assert log_output.getvalue().count("spans were not exported") == 1


@pytest.mark.parametrize("status", [None, 400, 503])
def test_a_collector_that_is_away_or_refuses(
    service: Service, receiver: Receiver, log_output: io.StringIO, status: int | None
) -> None:
    receiver.server.status = status or 200
    url = receiver.url if status else "http://127.0.0.1:1/v1/traces"
    with service.configured(MG_JAEGER_URL=url):
        assert [service.call("view_profile").status for _ in range(3)] == [401] * 3
    assert len(receiver.server.received) == (1 if status else 0)
    assert log_output.getvalue().count("spans were not exported") == 1


def test_nothing_is_imported_without_the_variable() -> None:
    code = """
import sys
from users.peers import spicedb
from users.repository import database
from users.telemetry import invocation
from users.errors import Unavailable
from users.repository.statements import Statement
with invocation.invocation("view_profile", "my-id", {}, "GET /users/profile"):
    try:
        database.query(Statement("one", "SELECT 1"), {}, read_only=True)
    except Unavailable:
        pass
print([name for name in sys.modules if name.startswith(("opentelemetry", "requests", "users.telemetry.otlp"))])
"""
    environment = {"PYTHONPATH": str(ROOT / "layers/common/python"), "MG_USERS_DB_HOST": "/nowhere"}
    environment["POWERTOOLS_METRICS_DISABLED"] = "true"
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MG_JAEGER_URL", "localhost:4318"),
        ("MG_JAEGER_URL", "grpc://localhost:4317"),
        ("MG_JAEGER_URL", "http://"),
        ("MG_JAEGER_TRACE_RATIO", "1.1"),
        ("MG_JAEGER_TRACE_RATIO", "-0.5"),
        ("MG_JAEGER_TRACE_RATIO", "nan"),
        ("MG_JAEGER_TRACE_RATIO", "half"),
        ("MG_CALLHOME_URL", "ftp://example.com"),
        ("MG_USERS_LOG_LEVEL", "loud"),
    ],
)
def test_a_variable_that_cannot_be_understood(service: Service, log_output: io.StringIO, name: str, value: str) -> None:
    with pytest.raises(WrongSettings, match=f"^{name}: "):
        Settings({name: value})
    with service.configured(**{name: value}):
        assert service.call("view_profile", token="a.b.c").error == (500, "internal")
    assert f'"cause":"{name}: ' in log_output.getvalue()
