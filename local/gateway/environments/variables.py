"""The environment variables of a function's process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.gateway.stack import Function, Stack

# Variables of this machine that the process needs. It gets no others of the gateway's environment.
_INHERITED = ("PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "PYTHONPYCACHEPREFIX", "PYTHONDONTWRITEBYTECODE")

# The operator's settings, which replace those of the template.
_OVERLAID = ("MG_", "AWS_", "POWERTOOLS_")

_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


def function_variables(function: Function, stack: Stack, gateway: Mapping[str, str], lambda_url: str) -> dict[str, str]:
    """Return all variables of one function's processes.

    Every MG_*, AWS_* and POWERTOOLS_* variable of the gateway's own environment (`gateway`) replaces the template's.
    The variables of the Lambda runtime replace both. `lambda_url` is this gateway's own Invoke API.
    """
    variables = {name: gateway[name] for name in _INHERITED if name in gateway}
    variables |= {"LANG": "C.UTF-8", "TZ": ":UTC"}
    variables |= function.variables
    variables |= {name: value for name, value in gateway.items() if name.startswith(_OVERLAID)}
    if _CREDENTIALS[0] not in variables and "AWS_PROFILE" not in variables:
        variables |= dict.fromkeys(_CREDENTIALS, "local")
    return variables | _runtime_variables(function, stack) | {"AWS_ENDPOINT_URL_LAMBDA": lambda_url}


def _runtime_variables(function: Function, stack: Stack) -> dict[str, str]:
    """Return Lambda's variables (AWS, "Defined runtime environment variables"), and AWS_SAM_LOCAL of `sam local`."""
    layers = [layer / "python" for layer in function.layer_dirs]
    code_path = [function.code_dir, *(layer for layer in layers if layer.is_dir())]
    return {
        "AWS_SAM_LOCAL": "true",
        "AWS_REGION": stack.region,
        "AWS_DEFAULT_REGION": stack.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.logical_id}",
        "AWS_LAMBDA_LOG_STREAM_NAME": "local",
        "LAMBDA_TASK_ROOT": str(function.code_dir),
        "_HANDLER": function.handler,
        "PYTHONPATH": os.pathsep.join(map(str, code_path)),
    }
