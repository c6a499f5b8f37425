"""One line in the embedded metric format for each invocation, whatever becomes of it."""

import io
import json
import traceback
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from tests.service import lambda_context
from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.edge.internal import Failed, internal
from users.errors import Conflict, TooManyRequests, Unavailable
from users.settings import WrongSettings
from users.telemetry.metrics import age, count

EVENT = {"headers": {"x-request-id": "my-id"}, "routeKey": "GET /users/{id}", "pathParameters": {"id": "somebody"}}


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The line; there must be one."""
    (line,) = (line for line in capsys.readouterr().out.splitlines() if '"_aws"' in line)
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def values(line: dict[str, Any]) -> dict[str, list[float]]:
    """The metrics that CloudWatch takes out of a line, with their units."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Users"
    assert [sorted(dimensions) for dimensions in directive["Dimensions"]] == [["operation", "service"]]
    return {f"{metric['Name']} {metric['Unit']}": line[metric["Name"]] for metric in directive["Metrics"]}


def answering(reply: Reply | Exception) -> Any:
    @operation("view_user", access=ANYBODY)
    def handler(request: Request) -> Reply:
        if isinstance(reply, Exception):
            raise reply
        return reply

    return handler


@pytest.mark.parametrize(
    ("reply", "status", "errors"),
    [
        (Reply(200), 200, {}),
        (Reply(404), 404, {"ClientErrors Count": [1.0]}),
        (Conflict("email_taken", "taken"), 409, {"ClientErrors Count": [1.0]}),
        (TooManyRequests(3), 429, {"ClientErrors Count": [1.0], "Throttled Count": [1.0]}),
        (Unavailable("database", "TimeoutError"), 503, {"ServerErrors Count": [1.0]}),
        (ZeroDivisionError(), 500, {"ServerErrors Count": [1.0], "InternalErrors Count": [1.0]}),
        (WrongSettings(), 500, {"ServerErrors Count": [1.0], "InternalErrors Count": [1.0]}),
    ],
)
def test_an_operation(
    capsys: pytest.CaptureFixture[str], reply: Reply | Exception, status: int, errors: dict[str, list[float]]
) -> None:
    assert answering(reply)(EVENT, lambda_context())["statusCode"] == status
    line = told(capsys)
    assert (line["operation"], line["service"], line["request_id"]) == ("view_user", "users", "my-id")
    measured = values(line)
    assert 0 < measured.pop("Latency Milliseconds")[0] < 1000
    assert measured == {"Requests Count": [1.0], **errors}


def test_nothing_is_left_for_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    count("LoginsFailed")  # of an invocation that never got to its line
    answering(TooManyRequests(3))(EVENT, lambda_context())
    assert "LoginsFailed Count" not in values(told(capsys))
    answering(Reply(200))(EVENT, lambda_context())
    assert values(told(capsys)).keys() == {"Requests Count", "Latency Milliseconds"}


def test_an_internal_function(capsys: pytest.CaptureFixture[str]) -> None:
    @internal("deliver_outbox")
    def handler(event: Mapping[str, Any], context: Any) -> int:
        for _ in range(300):  # more than a line holds values of one metric
            count("MailsSent")
        count("OutboxParked", 0)
        age("OutboxAge", 1.5)
        return 7

    context = lambda_context()
    assert handler({}, context) == 7
    line = told(capsys)
    assert (line["operation"], line["request_id"]) == ("deliver_outbox", context.aws_request_id)
    measured = values(line)
    del measured["Latency Milliseconds"]
    assert measured == {
        "Requests Count": [1.0],
        "MailsSent Count": [300.0],
        "OutboxParked Count": [0.0],
        "OutboxAge Seconds": [1.5],
    }


def test_an_internal_function_that_fails(capsys: pytest.CaptureFixture[str]) -> None:
    @internal("sweep_accounts")
    def handler(event: Mapping[str, Any], context: Any) -> int:
        raise Unavailable("database", "TimeoutError")

    with pytest.raises(Unavailable):
        handler({}, lambda_context())
    assert values(told(capsys))["ServerErrors Count"] == [1.0]


def test_what_nobody_foresaw_reaches_lambda_without_its_text(log_output: io.StringIO) -> None:
    @internal("sweep_accounts", foreseen=ArithmeticError)
    def handler(event: Mapping[str, Any], context: Any) -> int:
        raise event["error"]

    secret = uuid.uuid4().hex
    with pytest.raises(Failed) as raised:
        handler({"error": LookupError(secret)}, lambda_context())
    told = "".join(traceback.format_exception(raised.value)) + log_output.getvalue()
    assert "LookupError" in told
    assert secret not in told
    for foreseen in (ArithmeticError("a"), WrongSettings("b"), Conflict("email_taken", "c")):
        with pytest.raises(type(foreseen)):
            handler({"error": foreseen}, lambda_context())


def test_an_internal_function_names_the_dependency_that_is_away(log_output: io.StringIO) -> None:
    @internal("sweep_accounts")
    def handler(event: Mapping[str, Any], context: Any) -> int:
        raise Unavailable("database", "TimeoutError") from TimeoutError("ada@example.com")

    with pytest.raises(Unavailable):
        handler({}, lambda_context())
    line = json.loads(log_output.getvalue())
    assert (line["message"], line["dependency"], line["cause"]) == (
        *("dependency unavailable", "database"),
        "TimeoutError",
    )


def test_metrics_can_be_turned_off(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_METRICS_DISABLED", "true")
    answering(Reply(200))(EVENT, lambda_context())
    assert '"_aws"' not in capsys.readouterr().out
