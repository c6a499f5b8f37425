"""check_version invokes a new version before it gets traffic, and refuses one that is not ready (docs/deploy.md)."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from background.setup import code_deploy, version_check
from background.setup.code_deploy import CodeDeployError
from local.parts.gateway import Gateway
from local.parts.postgres import PostgresServer, temporary_postgres
from tests.code_deploy_server import CodeDeploy, app_spec, code_deploy_server
from tests.conftest import AWS
from tests.http_server import HttpServer, http_server
from tests.service import ROOT, Service, handler, lambda_context
from tests.template.cloudformation import resources

EVENT = json.loads((ROOT / "events" / "check_version.json").read_text())
DEPLOYMENT, EXECUTION = EVENT["DeploymentId"], EVENT["LifecycleEventHookExecutionId"]
CHECK = {"check": "readiness"}
READY = {"ready": True}


@pytest.fixture
def codedeploy(monkeypatch: pytest.MonkeyPatch) -> Iterator[CodeDeploy]:
    with code_deploy_server() as server:
        for name, value in {**AWS, "AWS_ENDPOINT_URL_CODEDEPLOY": server.url}.items():
            monkeypatch.setenv(name, value)
        server.deployments[DEPLOYMENT] = app_spec("users-ViewProfileFunction-X", "6", "7")
        monkeypatch.setattr(code_deploy, "_PAUSES", (0, 0, 0))
        monkeypatch.setattr(version_check, "_PAUSES", (0, 0))
        monkeypatch.setitem(handler("check_version").__wrapped__.__globals__, "pause", lambda _seconds: None)
        yield server


@pytest.fixture
def invoked(codedeploy: CodeDeploy, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """Yield Lambda's Invoke API, which records requests. The test sets the answer."""
    with http_server(body=json.dumps(READY).encode()) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", server.url)
        yield server


def hook(**changes: Any) -> Any:
    return handler("check_version")({**EVENT, **changes}, lambda_context())


def test_a_version_that_is_ready_gets_traffic(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    assert hook() == {"problem": ""}
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Succeeded")]
    (request,) = invoked.received
    assert request.path == "/2015-03-31/functions/users-ViewProfileFunction-X%3A7/invocations"
    assert json.loads(request.body) == CHECK
    assert request.headers["x-amz-invocation-type"] == "RequestResponse"
    assert "/eu-central-1/lambda/aws4_request" in request.headers["authorization"]


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, {"errorType": "NotReady", "errorMessage": "database: OperationalError"}, "database: OperationalError"),
        (200, {"errorType": "Runtime.ImportModuleError", "errorMessage": "No module named 'x'"}, "ImportModuleError"),
        (200, {"statusCode": 401, "body": "{}"}, "knows no check"),
        (200, {"ready": False}, "knows no check"),
        (200, None, "knows no check"),
        (502, {"Message": "The function's network cannot be set up"}, "Lambda answers 502: The function's network"),
    ],
)
def test_a_version_that_is_not_ready_is_refused(
    codedeploy: CodeDeploy, invoked: HttpServer, log_output: io.StringIO, status: int, answer: Any, expected: str
) -> None:
    invoked.status, invoked.body = status, json.dumps(answer).encode()
    assert expected in hook()["problem"]
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]
    lines = [json.loads(line) for line in log_output.getvalue().splitlines()]
    (line,) = (line for line in lines if line["message"] == "version refused")
    assert line["problem"].startswith("users-ViewProfileFunction-X:7: ")
    assert expected in line["problem"]
    assert line["deployment"] == DEPLOYMENT


def test_an_answer_that_is_no_json_is_refused(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    invoked.body = b"<html>"
    assert "not JSON" in hook()["problem"]
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]


def test_a_version_that_does_not_answer_is_refused(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    def hang_up() -> None:
        raise ConnectionError

    invoked.before_answer = hang_up
    assert hook()["problem"].startswith("users-ViewProfileFunction-X:7: no answer")
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]


def test_what_fails_once_is_tried_again(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    invoked.status = 502

    def recover() -> None:
        if len(invoked.received) == 2:
            invoked.status = 200

    invoked.before_answer = recover
    codedeploy.refusals = [(400, "ThrottlingException"), (500, "InternalFailure")]
    assert hook() == {"problem": ""}
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Succeeded")]


RATE_EXCEEDED = json.dumps({"Type": "User", "message": "Rate Exceeded."}).encode()


def test_a_hook_makes_room_where_too_many_functions_run(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    """The hook reports nothing, and Lambda calls it again."""
    invoked.status, invoked.body = 429, RATE_EXCEEDED

    def take_the_event() -> None:
        invoked.status = 202 if len(invoked.received) == 2 else 429

    invoked.before_answer = take_the_event
    assert hook() == {"problem": "users-ViewProfileFunction-X:7: Lambda answers 429: Rate Exceeded."}
    assert codedeploy.reported == []
    _, again = invoked.received
    assert again.path == "/2015-03-31/functions/test/invocations"
    assert again.headers["x-amz-invocation-type"] == "Event"
    event = json.loads(again.body)
    assert event == {**EVENT, "until": pytest.approx(time.time() + 900, abs=60)}

    invoked.before_answer = lambda: None
    invoked.status, invoked.body = 200, json.dumps(READY).encode()
    assert hook(until=event["until"]) == {"problem": ""}
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Succeeded")]


@pytest.mark.parametrize("until", [0, 1.0])
def test_turns_end(codedeploy: CodeDeploy, invoked: HttpServer, until: float) -> None:
    """The hook reports a failure when its time is over, and when Lambda does not accept the event."""
    invoked.status, invoked.body = 429, RATE_EXCEEDED
    assert hook(until=until) == {"problem": "users-ViewProfileFunction-X:7: Lambda answers 429: Rate Exceeded."}
    assert len(invoked.received) == (1 if until else 2)
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]


def test_a_version_that_has_served_is_not_held_up(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    """CloudFormation rolls back with CodeDeploy as well, and an older version may not support the check."""
    codedeploy.deployments[DEPLOYMENT] = app_spec("users-ViewProfileFunction-X", "10", "9")
    assert hook() == {"problem": ""}
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Succeeded")]
    assert invoked.received == []


@pytest.mark.parametrize("content", ["version: 0.0", "{}", '{"Resources": []}', app_spec("f", "6", "$LATEST")])
def test_a_deployment_that_is_not_understood_fails(codedeploy: CodeDeploy, invoked: HttpServer, content: str) -> None:
    codedeploy.deployments[DEPLOYMENT] = content
    assert "is not understood" in hook()["problem"]
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]


def test_a_deployment_that_codedeploy_does_not_know_fails(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    codedeploy.deployments.clear()
    assert "DeploymentDoesNotExistException" in hook()["problem"]
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]


def test_a_defect_of_the_hook_fails_the_deployment(
    codedeploy: CodeDeploy, invoked: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(handler("check_version").__wrapped__.__globals__, "shift_of", lambda _: None)
    with pytest.raises(Exception, match="AttributeError"):
        hook()
    assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed")]


def test_a_word_that_does_not_reach_codedeploy_is_an_error(codedeploy: CodeDeploy, invoked: HttpServer) -> None:
    """The error makes Lambda call the hook again."""
    codedeploy.refusals = [(500, "InternalFailure")] * 6
    with pytest.raises(CodeDeployError, match="PutLifecycleEventHookExecutionStatus: 500 InternalFailure"):
        hook()


# --- answers of functions


SHIFTED = sorted(
    alias["Properties"]["FunctionName"]["Ref"]
    for alias in resources("AWS::Lambda::Alias").values()
    if "UpdatePolicy" in alias
)


@contextmanager
def running(environment: dict[str, str], folder: Path, template: Path = ROOT / "template.yaml") -> Iterator[Gateway]:
    """Yield a gateway with Lambda's Invoke API and without schedules."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    variables = {**inherited, **environment, "MG_LOCAL_SCHEDULES": "off"}
    with Gateway(template=template, environment=variables, log=folder / "gateway.log") as gateway:
        yield gateway


@pytest.fixture
def check(codedeploy: CodeDeploy, monkeypatch: pytest.MonkeyPatch) -> Callable[[Gateway, str], str]:
    """Return a function that lets the hook check a function of a gateway.

    It returns the problem, or "" if there is none.
    """

    def checked(gateway: Gateway, function: str) -> str:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", f"http://127.0.0.1:{gateway.lambda_port}")
        codedeploy.deployments[DEPLOYMENT] = app_spec(function, "6", "7")
        codedeploy.reported.clear()
        problem: str = hook()["problem"]
        assert codedeploy.reported == [(DEPLOYMENT, EXECUTION, "Failed" if problem else "Succeeded")]
        return problem.removeprefix(f"{function}:7: ")

    return checked


DATA = """
    SELECT (SELECT json_agg(u ORDER BY id) FROM users u)::text AS users,
           (SELECT json_agg(o ORDER BY seq) FROM users_outbox o)::text AS outbox,
           (SELECT json_agg(t) FROM users_throttle t)::text AS throttle
"""


@pytest.mark.long
def test_every_function_is_ready_and_changes_nothing(
    check: Callable[[Gateway, str], str], own_service: Service, tmp_path: Path
) -> None:
    """The outbox contains rows to deliver, and one account is due for removal. The check touches neither."""
    user = own_service.register()
    own_service.execute(
        "UPDATE users SET status = 2, deleted_at = now() - interval '90 days', updated_at = now() - interval '90 days'"
        " WHERE id = %s",
        (user["id"],),
    )
    before = own_service.execute(DATA)
    assert before[0]["outbox"] is not None
    with running(own_service.environment, tmp_path) as gateway:
        for function in SHIFTED:
            assert check(gateway, function) == "", function
    assert own_service.execute(DATA) == before
    assert len(SHIFTED) >= 29


@pytest.mark.long
def test_auth_may_be_away(check: Callable[[Gateway, str], str], own_service: Service, tmp_path: Path) -> None:
    nowhere = {"MG_AUTH_GRPC_URL": "127.0.0.1:9", "MG_AUTH_JWKS_URL": "http://127.0.0.1:9/", "MG_SPICEDB_PORT": "9"}
    with running(own_service.environment | nowhere, tmp_path) as gateway:
        for function in ("IssueTokenFunction", "HealthFunction", "ViewProfileFunction"):
            assert check(gateway, function) == ""


@pytest.fixture(scope="module")
def password_server() -> Iterator[PostgresServer]:
    """Yield a PostgreSQL that asks for a password."""
    with temporary_postgres(port=0) as server:
        server.ensure_role("functions", "right")
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute("CREATE TABLE users (id text); GRANT SELECT ON users TO functions")
        yield server


def answer_alone(operation: str, environment: dict[str, str]) -> Any:
    """Return the answer of a function that has imported only its own modules, as on Lambda.

    The local gateway forks its workers from a process that has imported the modules of all functions.
    """
    code = "import json, app; print(json.dumps(app.lambda_handler(json.loads(input()), None)))"
    path = f"{ROOT}/layers/common/python:{ROOT}/functions/{operation}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment, "PYTHONPATH": path}, input=json.dumps(CHECK), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.long
@pytest.mark.parametrize(("password", "problem"), [("right", ""), ("wrong", "NotReady: database: OperationalError")])
def test_a_wrong_password_of_the_database_is_refused(
    check: Callable[[Gateway, str], str], password_server: PostgresServer, tmp_path: Path, password: str, problem: str
) -> None:
    environment = {
        **AWS,
        "MG_USERS_DB_HOST": "127.0.0.1",
        "MG_USERS_DB_PORT": str(password_server.port),
        "MG_USERS_DB_USER": "functions",
        "MG_USERS_DB_PASS": password,
        "MG_USERS_DB_NAME": "postgres",
        "MG_USERS_DB_SSL_MODE": "disable",
    }
    with running(environment, tmp_path) as gateway:
        assert check(gateway, "ViewProfileFunction") == problem
    assert answer_alone("openapi", environment) == READY, "it uses no database"
    log = (tmp_path / "gateway.log").read_text()
    assert ('"message":"not ready"' in log) == bool(problem)
    assert "wrong" not in log


@pytest.mark.long
@pytest.mark.parametrize(
    ("variables", "function", "problem"),
    [
        ({"MG_USERS_DELETE_AFTER": "never"}, "OpenapiFunction", "NotReady: MG_USERS_DELETE_AFTER: must be"),
        ({"MG_USERS_PASS_REGEX": "("}, "RegisterUserFunction", "NotReady: MG_USERS_PASS_REGEX: must be an RE2"),
        ({"MG_USERS_ES_URL": "redis://r:6379"}, "DeliverOutboxFunction", "NotReady: MG_USERS_ES_URL"),
        ({"MG_AUTH_GRPC_SERVER_CA_CERTS": "/opt/no.pem"}, "IssueTokenFunction", "FileNotFoundError"),
        (
            {"MG_USERS_SECRET_KEY_SECRET_ARN": "arn:aws:secretsmanager:eu-central-1:1:secret:no-AbCdEf"},
            "ListUsersFunction",
            "NotReady: secrets manager: ",
        ),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(
    check: Callable[[Gateway, str], str],
    shared_service: Service,
    tmp_path: Path,
    variables: dict[str, str],
    function: str,
    problem: str,
) -> None:
    nowhere = {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://127.0.0.1:9"}
    with running(shared_service.environment | nowhere | variables, tmp_path) as gateway:
        assert check(gateway, function).startswith(problem)


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "problem"),
    [("def lambda_handler(:", "UserCodeSyntaxError"), ("import no_such_module", "ImportModuleError")],
)
def test_code_that_cannot_be_imported_is_refused(
    check: Callable[[Gateway, str], str], shared_service: Service, tmp_path: Path, code: str, problem: str
) -> None:
    (tmp_path / "functions").mkdir()
    for folder in (ROOT / "functions").iterdir():
        (tmp_path / "functions" / folder.name).symlink_to(folder)
    (tmp_path / "functions" / "view_profile").unlink()
    (tmp_path / "functions" / "view_profile").mkdir()
    (tmp_path / "functions" / "view_profile" / "app.py").write_text(code)
    (tmp_path / "layers").symlink_to(ROOT / "layers")
    (tmp_path / "template.yaml").write_text((ROOT / "template.yaml").read_text())
    with running(shared_service.environment, tmp_path, tmp_path / "template.yaml") as gateway:
        assert problem in check(gateway, "ViewProfileFunction")
        assert check(gateway, "ViewUserFunction") == ""


def test_no_request_is_taken_for_the_check(service: Service) -> None:
    """API Gateway wraps the body of a request, so no client can send the event itself."""
    answer = service.call("view_profile", CHECK, token="x", headers={"check": "readiness"}, query="check=readiness")
    assert answer.error == (401, "unauthenticated")
