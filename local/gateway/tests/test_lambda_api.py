"""The Lambda Invoke API, with boto3."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from local.gateway.tests.gateway_process import GatewayProcess
    from local.gateway.tests.peer import Peer

_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:"


@pytest.fixture
def client(gateway: GatewayProcess) -> Any:
    """Return a boto3 Lambda client."""
    return gateway.lambda_client()


def _payload(answer: dict[str, Any]) -> Any:
    return json.loads(answer["Payload"].read())


@pytest.mark.parametrize(
    "name",
    [
        "DescribeFunction",
        "described",
        "123456789012:function:DescribeFunction",
        _ARN + "DescribeFunction",
        _ARN + "DescribeFunction:live",
        "DescribeFunction:$LATEST",
    ],
)
def test_invoke(client: Any, name: str) -> None:
    """A function is found by name, partial and full ARN, with and without qualifier."""
    answer = client.invoke(FunctionName=name, Payload=b'{"a": [1, "\xc3\xa9"]}')
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    assert "FunctionError" not in answer
    assert _payload(answer)["event"] == {"a": [1, "é"]}


def test_qualifier(client: Any) -> None:
    """An alias and a version are found."""
    for qualifier in ("live", "1", "$LATEST"):
        assert client.invoke(FunctionName="DescribeFunction", Qualifier=qualifier)["StatusCode"] == 200


def test_context(client: Any, gateway: GatewayProcess) -> None:
    """The context object is as on Lambda. The gateway's output contains the function's."""
    context = base64.b64encode(b'{"custom": {"k": "v"}}').decode()
    answer = client.invoke(FunctionName="DescribeFunction", ClientContext=context)
    seen = _payload(answer)
    assert seen["event"] == {}
    assert seen["function_name"] == seen["environment"]["AWS_LAMBDA_FUNCTION_NAME"] == "DescribeFunction"
    assert seen["arn"] == _ARN + "DescribeFunction"
    assert (seen["function_version"], seen["memory_limit_in_mb"]) == ("$LATEST", "256")
    assert seen["client_context"] == {"k": "v"}
    assert 15_000 < seen["remaining"] <= 20_000
    assert seen["request_id"] == answer["ResponseMetadata"]["RequestId"]
    assert seen["cwd"] == seen["environment"]["LAMBDA_TASK_ROOT"] == seen["path"][0]
    assert seen["layer"] == "from the layer"
    assert seen["modules"] == []
    assert seen["environment"]["AWS_ENDPOINT_URL_LAMBDA"] == f"http://127.0.0.1:{gateway.lambda_port}"
    assert gateway.wait_for(lambda line: f"describe was here, request {seen['request_id']}" in line)


def test_function_error(client: Any) -> None:
    """An exception of the handler becomes the error object."""
    answer = client.invoke(FunctionName="RaisesFunction")
    assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
    error = _payload(answer)
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "it is broken")
    assert len(error["stackTrace"]) == 1
    assert "in raises" in error["stackTrace"][0]


@pytest.mark.parametrize(
    ("name", "error_type", "message"),
    [
        ("UnloadableFunction", "Runtime.ImportModuleError", "Unable to import module 'app'"),
        ("UnserializableFunction", "Runtime.MarshalError", "Unable to marshal response"),
        ("HangsFunction", "Sandbox.Timedout", "Task timed out after 1.00 seconds"),
        ("LargeFunction", "Function.ResponseSizeTooLarge", "Response payload size exceeded"),
    ],
)
def test_runtime_error(client: Any, name: str, error_type: str, message: str) -> None:
    """The error object is Lambda's own when a function cannot answer."""
    answer = client.invoke(FunctionName=name)
    error = _payload(answer)
    assert (answer["FunctionError"], error["errorType"]) == ("Unhandled", error_type)
    assert message in error["errorMessage"]


def test_crash(client: Any, peer: Peer) -> None:
    """When a process ends during an invoke, that invoke fails, and the next one gets a new process."""
    payload = json.dumps({"port": peer.port})
    client.invoke(FunctionName="TalkFunction", InvocationType="Event", Payload=payload)
    first = peer.meet()
    first.order("exit")
    second = peer.meet()  # the retry
    assert second.report["request_id"] == first.report["request_id"]
    assert second.report["pid"] != first.report["pid"]
    second.order()


def test_dry_run(client: Any) -> None:
    """A DryRun runs no function."""
    assert client.invoke(FunctionName="RaisesFunction", InvocationType="DryRun")["StatusCode"] == 204


@pytest.mark.parametrize("name", ["Nobody", _ARN + "Nobody", "DescribeFunction:nolabel"])
def test_unknown_function(client: Any, name: str) -> None:
    """SDKs recognize the error."""
    with pytest.raises(client.exceptions.ResourceNotFoundException, match="Function not found: arn:aws:lambda"):
        client.invoke(FunctionName=name)


@pytest.mark.parametrize(
    ("payload", "kind", "error"),
    [
        (b"{not json", "RequestResponse", "InvalidRequestContentException"),
        (b'"' + b"x" * 6_300_000 + b'"', "RequestResponse", "RequestEntityTooLargeException"),
        (b'"' + b"x" * 1_100_000 + b'"', "Event", "RequestEntityTooLargeException"),
        (b"{}", "Sometimes", "InvalidParameterValueException"),
    ],
)
def test_refused(client: Any, payload: bytes, kind: str, error: str) -> None:
    """Payloads that Lambda refuses are refused."""
    with pytest.raises(ClientError) as refused:
        client.invoke(FunctionName="DescribeFunction", InvocationType=kind, Payload=payload)
    assert refused.value.response["Error"]["Code"] == error


def test_event(client: Any, peer: Peer) -> None:
    """The answer comes at once, and the function runs later."""
    answer = client.invoke(FunctionName="TalkFunction", InvocationType="Event", Payload=json.dumps({"port": peer.port}))
    assert answer["StatusCode"] == 202
    assert answer["Payload"].read() == b""
    conversation = peer.meet()
    assert conversation.report["request_id"] == answer["ResponseMetadata"]["RequestId"]
    conversation.order()


def test_event_is_retried_twice(client: Any, peer: Peer, gateway: GatewayProcess) -> None:
    """After three attempts with the same request id, the log reports the end."""
    client.invoke(FunctionName="TalkFunction", InvocationType="Event", Payload=json.dumps({"port": peer.port}))
    seen = []
    for _ in range(3):
        conversation = peer.meet()
        seen.append(conversation.report["request_id"])
        conversation.order("raise")
    assert len(set(seen)) == 1
    assert gateway.wait_for(lambda line: "given up" in line and seen[0] in line)


def test_event_without_retries(client: Any, peer: Peer, gateway: GatewayProcess) -> None:
    """The template's MaximumRetryAttempts is the number of retries."""
    client.invoke(FunctionName="OnceFunction", InvocationType="Event", Payload=json.dumps({"port": peer.port}))
    conversation = peer.meet()
    conversation.order("raise")
    assert gateway.wait_for(lambda line: "given up" in line and conversation.report["request_id"] in line)


def test_other_operations(gateway: GatewayProcess) -> None:
    """The API has only Invoke."""
    response = httpx.get(f"http://127.0.0.1:{gateway.lambda_port}/2015-03-31/functions/", trust_env=False)
    assert response.status_code == 404
