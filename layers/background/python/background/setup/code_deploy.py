"""The calls of a hook to CodeDeploy: read the versions of a deployment, and let it go on or fail it.

CloudFormation makes the deployments. It shifts an alias by CodeDeploy, and describes the shift in an AppSpec of JSON.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from background.setup.aws_call import pause, post

_TIMEOUT = 5.0  # seconds of one try
# Seconds after each try. All hooks of a stack call at the same time, and CodeDeploy limits its calls.
_PAUSES = (1.0, 3.0, 9.0, 0.0)


class CodeDeployError(Exception):
    """CodeDeploy refuses a call, or describes a deployment in an unknown form."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The shift of a function's traffic from the current version to the target."""

    function: str
    current: int
    target: int

    @property
    def is_rollback(self) -> bool:
        """Whether traffic goes back to a version that has served before."""
        return self.target < self.current


def shift_of(deployment_id: str) -> Shift:
    """Return the shift of a deployment. CodeDeployError for an unusable answer, OSError without one."""
    deployment = _call("GetDeployment", {"deploymentId": deployment_id}).get("deploymentInfo", {})
    asked = {"applicationName": deployment.get("applicationName"), "revision": deployment.get("revision")}
    # GetDeployment returns the name of the revision without its content.
    revision = _call("GetApplicationRevision", asked).get("revision", {})
    try:
        content = json.loads((revision.get("string") or revision["appSpecContent"])["content"])
        ((resource,),) = (each.values() for each in content["Resources"])
        properties = resource["Properties"]
        return Shift(properties["Name"], int(properties["CurrentVersion"]), int(properties["TargetVersion"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CodeDeployError(f"the AppSpec of deployment {deployment_id} is not understood") from error


def report(deployment_id: str, execution_id: str, *, passed: bool) -> None:
    """Let the deployment go on, or fail it. CodeDeployError or OSError when the report does not arrive."""
    status = "Succeeded" if passed else "Failed"
    result = {"deploymentId": deployment_id, "lifecycleEventHookExecutionId": execution_id, "status": status}
    _call("PutLifecycleEventHookExecutionStatus", result)


def _call(action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Call an action (protocol AWS JSON 1.1), and repeat it after a failure. Return the answer."""
    headers = {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"CodeDeploy_20141006.{action}"}
    problem: Exception = OSError()
    for seconds in _PAUSES:
        try:
            status, body = post("codedeploy", "/", headers, json.dumps(parameters).encode(), timeout=_TIMEOUT)
            answer: dict[str, Any] = json.loads(body or b"{}")
            if status == 200:
                return answer
            problem = CodeDeployError(f"{action}: {status} {answer.get('__type', '')}")
        except OSError as error:
            problem = error
        except ValueError:
            problem = CodeDeployError(f"{action}: CodeDeploy's answer is not JSON")
        pause(seconds)
    raise problem
