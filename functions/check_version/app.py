"""Before a new version of a function gets traffic: invoke it, and tell CodeDeploy whether it is ready.

CodeDeploy's hook BeforeAllowTraffic of every function. It is outside the VPC, where it reaches Lambda and CodeDeploy
whatever ``Egress`` says; the version that it invokes is where it always is.
"""

from collections.abc import Mapping
from typing import Any

from operations.code_deploy import CodeDeployError, report, shift_of
from operations.version_check import problem_of
from users.internal import internal
from users.log import logger


@internal("check_version", foreseen=CodeDeployError)
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:  # noqa: ARG001 -- Lambda's signature
    """Why the version is not ready, empty when it is. Whatever goes wrong here fails the deployment.

    CodeDeployError and OSError when CodeDeploy cannot be told; it then waits for an hour, and fails the deployment.
    """
    deployment, execution = event["DeploymentId"], event["LifecycleEventHookExecutionId"]
    problem = "the hook itself failed"
    try:
        problem = _problem(deployment)
    except (CodeDeployError, OSError) as error:
        problem = f"CodeDeploy does not tell what to check: {error}"
    finally:
        report(deployment, execution, passed=not problem)
    if problem:
        logger.error("version refused", deployment=deployment, problem=problem)
    return {"problem": problem}


def _problem(deployment: str) -> str:
    shift = shift_of(deployment)
    version = f"{shift.function}:{shift.target}"
    if shift.is_rollback:
        # It has served before. To refuse it would end the rollback half-way.
        logger.info("not checked, because traffic goes back to this version", version=version)
        return ""
    problem = problem_of(shift.function, shift.target)
    return f"{version}: {problem}" if problem else ""
