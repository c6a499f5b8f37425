"""Invoke a new version of a function before it gets traffic, and report to CodeDeploy whether it is ready.

This is CodeDeploy's hook BeforeAllowTraffic of every function. It runs outside the VPC, so it reaches Lambda and
CodeDeploy with every value of ``Egress``. The version that it invokes runs in its usual place.

A deployment calls the hook once for each function, all at the same time. Each call needs room for a second function,
and a new account may run ten functions at once. A hook that finds no room therefore ends, and Lambda calls it again.
"""

import time
from collections.abc import Mapping
from typing import Any

from background.setup.aws_call import pause
from background.setup.code_deploy import CodeDeployError, report, shift_of
from background.setup.version_check import NoRoom, invoke_later, problem_of
from users.edge.internal import internal
from users.telemetry.log import logger

# Seconds for which hooks take turns; CodeDeploy waits for an hour.
_TURNS = 900


@internal("check_version", foreseen=CodeDeployError)
def lambda_handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """Return the problem of the version, empty when it is ready. Any error of the hook fails the deployment.

    Raise CodeDeployError or OSError when the report does not reach CodeDeploy. CodeDeploy then fails the deployment
    after an hour.
    """
    deployment, execution = event["DeploymentId"], event["LifecycleEventHookExecutionId"]
    problem, is_decided = "the hook itself failed", True
    try:
        problem = _problem(deployment)
    except NoRoom as error:
        problem = str(error)
        is_decided = not _is_called_again(event, context.function_name)
    except (CodeDeployError, OSError) as error:
        problem = f"CodeDeploy does not tell what to check: {error}"
    finally:
        if is_decided:
            report(deployment, execution, passed=not problem)
    if problem and is_decided:
        logger.error("version refused", deployment=deployment, problem=problem)
    return {"problem": problem}


def _is_called_again(event: Mapping[str, Any], function: str) -> bool:
    until = event.get("until") or time.time() + _TURNS
    if time.time() > until:
        return False
    pause(1)
    try:
        invoke_later(function, {**event, "until": until})
    except OSError as error:
        logger.warning("not called again", cause=str(error))
        return False
    return True


def _problem(deployment: str) -> str:
    shift = shift_of(deployment)
    version = f"{shift.function}:{shift.target}"
    if shift.is_rollback:
        # This version has served before. A refusal would end the rollback half-way.
        logger.info("not checked, because traffic goes back to this version", version=version)
        return ""
    problem = problem_of(shift.function, shift.target)
    return f"{version}: {problem}" if problem else ""
