"""The modules that the gateway's fork server imports for all functions contain nothing of a single function."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

from local.gateway.environments.variables import function_variables
from local.gateway.environments.worker_processes import shared_by
from local.gateway.template import read_stack
from tests.service import ROOT

# Imports the shared modules as the fork server does. Prints the variables that they read, and the state afterwards.
_PROGRAM = """
import importlib.util, json, os, sys
shared, file = json.loads(sys.argv[1]), sys.argv[2]
spec = importlib.util.spec_from_file_location("fork_server", file)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
read = set()
kind = type(os.environ)
get, iterate = kind.__getitem__, kind.__iter__
kind.__getitem__ = lambda self, name: (read.add(name), get(self, name))[1]
kind.__iter__ = lambda self: (read.add("*"), iterate(self))[1]
module.ForkServer(None).share(**shared)
kind.__getitem__, kind.__iter__ = get, iterate
from users.settings import settings
print(json.dumps({
    "read": sorted(read),
    "threads": len(os.listdir("/proc/self/task")),
    "settings": settings.cache_info().currsize,
    "modules": sorted(sys.modules),
}))
"""

# users/__init__.py reads this variable: in a function it switches garbage collection off, as the fork server has done.
_HARMLESS = {"AWS_LAMBDA_FUNCTION_NAME"}


@cache
def _shared() -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return the output of the program, and the variables of every function."""
    stack = read_stack(ROOT / "template.yaml", region="eu-central-1")
    functions = list(stack.functions.values())
    variables = [
        function_variables(each, stack, {"PATH": os.environ["PATH"]}, "http://127.0.0.1:1") for each in functions
    ]
    modules, common = shared_by(functions, variables)
    program = ROOT / "local" / "gateway" / "environments" / "fork_server.py"
    command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(modules), str(program)]
    done = subprocess.run(command, env=common, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), variables


def test_no_shared_module_reads_at_import_what_differs_between_functions() -> None:
    """Such a module would have no value, or the value of another function."""
    report, variables = _shared()
    assert "*" not in report["read"]
    differing = {name for name in report["read"] if len({each.get(name) for each in variables}) > 1}
    assert differing <= _HARMLESS


def test_nothing_is_made_that_a_worker_must_make_for_itself() -> None:
    """A worker reads settings from its own variables, and would have no copy of a thread."""
    report, _ = _shared()
    assert report["settings"] == 0
    assert report["threads"] == 1


def test_what_functions_use_is_shared() -> None:
    """Otherwise every worker would import it and have its own copy in memory."""
    report, _ = _shared()
    heavy = {
        "aws_lambda_powertools",
        "grpc",
        "nacl",
        "psycopg",
        "pydantic",
        "users.edge.http",
        "users.peers.jwt",
        "authzed.api.v1",
    }
    assert heavy <= set(report["modules"])


def test_functions_without_the_background_layer_do_not_get_it() -> None:
    """On Lambda too, not all functions have the modules of that layer."""
    report, _ = _shared()
    assert not [name for name in report["modules"] if name.partition(".")[0] in {"background", "local", "app"}]
