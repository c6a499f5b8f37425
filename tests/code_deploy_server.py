"""CodeDeploy's API, as far as a hook needs it, over HTTP. AWS' own model validates requests and answers.

moto has neither GetApplicationRevision nor PutLifecycleEventHookExecutionStatus.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from tests.http_server import Received, http_server

_MODEL = botocore.session.get_session().get_service_model("codedeploy")


def app_spec(function: str, current: str, target: str) -> str:
    """Return the AppSpec that CloudFormation sends to CodeDeploy for an alias that moves."""
    properties = {"Name": function, "Alias": "live", "CurrentVersion": current, "TargetVersion": target}
    resource = {function: {"Type": "AWS::Lambda::Function", "Properties": properties}}
    hooks = [{"BeforeAllowTraffic": "CodeDeployHook_users"}]
    return json.dumps({"version": "0.0", "Resources": [resource], "Hooks": hooks})


@dataclass(slots=True)
class CodeDeploy:
    """A running server: ``deployments`` has AppSpecs by deployment ids, ``reported`` the hooks' reports in order."""

    url: str
    deployments: dict[str, str] = field(default_factory=dict)
    reported: list[tuple[str, str, str]] = field(default_factory=list)
    # Answers to send first: a status, and the name of the error.
    refusals: list[tuple[int, str]] = field(default_factory=list)

    def answer(self, action: str, parameters: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.refusals:
            status, name = self.refusals.pop(0)
            return status, {"__type": name}
        if action == "PutLifecycleEventHookExecutionStatus":
            self.reported.append(tuple(parameters[name] for name in parameters))  # type: ignore[arg-type]
            return 200, {"lifecycleEventHookExecutionId": parameters["lifecycleEventHookExecutionId"]}
        if action == "GetDeployment":
            if parameters["deploymentId"] not in self.deployments:
                return 400, {"__type": "DeploymentDoesNotExistException"}
            string = {"sha256": parameters["deploymentId"]}
            revision = {"revisionType": "String", "string": string}
            return 200, {"deploymentInfo": {"applicationName": "users-app", "revision": revision}}
        string = {"content": self.deployments[parameters["revision"]["string"]["sha256"]]}
        return 200, {"applicationName": "users-app", "revision": {"revisionType": "String", "string": string}}


def _check(shape: Any, value: dict[str, Any]) -> None:
    problems = ParamValidator().validate(value, shape)
    if problems.has_errors():
        raise AssertionError(problems.generate_report())


@contextmanager
def code_deploy_server() -> Iterator[CodeDeploy]:
    """Serve on a free port until the block ends. A request or an answer that violates AWS' model leads to a 500."""
    with http_server() as server:
        state = CodeDeploy(server.url)
        server.answer_to = lambda received: _answer(state, received)
        yield state


def _answer(state: CodeDeploy, received: Received) -> tuple[int, bytes]:
    try:
        operation = _MODEL.operation_model(received.headers["x-amz-target"].rpartition(".")[2])
        parameters = json.loads(received.body)
        _check(operation.input_shape, parameters)
        assert "/eu-central-1/codedeploy/aws4_request" in received.headers["authorization"]
        status, answer = state.answer(operation.name, parameters)
        if status == 200:
            _check(operation.output_shape, answer)
    except (AssertionError, KeyError) as error:
        status, answer = 500, {"__type": str(error)}
    return status, json.dumps(answer).encode()
