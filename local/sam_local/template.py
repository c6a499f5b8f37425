"""The template for `sam local`: template.yaml without values that only a deployment has.

SAM does not resolve conditions in variables, drops variables that the template does not declare, and does not look up
secrets. So the template for it contains every value of every function, also the secrets of `make run`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.gateway.stack import Function, Stack
from local.sam_local.engine import RUNTIME

_OVERLAID = ("MG_", "AWS_ENDPOINT_URL")  # they replace the template's, as in the gateway of `make run`
_OF_MAKE_RUN = "MG_LOCAL_"
_QUIET = {
    "POWERTOOLS_METRICS_DISABLED": "true",  # nothing reads metrics from a log here
    "AWS_EC2_METADATA_DISABLED": "true",  # containers have no metadata service to ask for credentials
}


def local_template(stack: Stack, variables: Mapping[str, str], architecture: str) -> dict[str, Any]:
    """Return a SAM template of the functions, layers and routes of `stack`, built for `architecture`.

    `variables` is the configuration of `make run`, with addresses that containers reach. It replaces the template's.
    """
    layers = {folder: _layer_name(folder) for function in stack.functions.values() for folder in function.layer_dirs}
    resources: dict[str, Any] = {
        name: {
            "Type": "AWS::Serverless::LayerVersion",
            "Properties": {"ContentUri": str(folder), "CompatibleRuntimes": [RUNTIME]},
        }
        for folder, name in layers.items()
    }
    overlay = {
        name: value
        for name, value in variables.items()
        if name.startswith(_OVERLAID) and not name.startswith(_OF_MAKE_RUN)
    }
    for function in stack.functions.values():
        resources[function.logical_id] = {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "CodeUri": str(function.code_dir),
                "Handler": function.handler,
                "Runtime": function.runtime,
                "Architectures": [architecture],
                "Timeout": function.timeout,
                "MemorySize": function.memory,
                "Layers": [{"Ref": layers[folder]} for folder in function.layer_dirs],
                "Environment": {"Variables": {**function.variables, **overlay, **_QUIET}},
                "Events": _routes(stack, function),
            },
        }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Description": "Written by make sam-local for sam local, and removed with it",
        "Resources": resources,
    }


def values(template: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the variables of each function of a `local_template`, as SAM's `--env-vars` takes them.

    Without these, SAM would replace the template's values by variables of the shell that starts it.
    """
    return {
        name: resource["Properties"]["Environment"]["Variables"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }


def _layer_name(folder: Path) -> str:
    """Return a logical id: `CommonLayer` for the build's folder of that name, `common` for the source's."""
    return "".join(character for character in folder.name if character.isalnum())


def _routes(stack: Stack, function: Function) -> dict[str, Any]:
    """Return the function's routes as events, for `sam local start-api`."""
    routes = [route for route in stack.routes if route.function == function.logical_id]
    return {
        f"Route{number}": {"Type": "HttpApi", "Properties": {"Method": route.method, "Path": route.path}}
        for number, route in enumerate(routes)
    }
