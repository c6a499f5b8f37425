"""What the gateway's fork server imports for all functions must hold nothing that belongs to one (local/gateway)."""

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

from local.gateway.function_environment import function_variables
from local.gateway.template import read_stack
from local.gateway.worker_processes import shared_by
from tests.service import ROOT

# Imports what is shared as the fork server does, and prints which variables were read on the way, and what came of it.
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

# users/__init__.py asks whether it is in a function at all, and switches the garbage collection off; so has the fork
# server.
_HARMLESS = {"AWS_LAMBDA_FUNCTION_NAME"}


@cache
def _told() -> tuple[dict[str, Any], list[dict[str, str]]]:
    """What the program tells, and the variables of every function."""
    stack = read_stack(ROOT / "template.yaml", region="eu-central-1")
    functions = list(stack.functions.values())
    variables = [
        function_variables(each, stack, {"PATH": os.environ["PATH"]}, "http://127.0.0.1:1") for each in functions
    ]
    modules, common = shared_by(functions, variables)
    program = ROOT / "local" / "gateway" / "fork_server.py"
    command = [sys.executable, "-P", "-c", _PROGRAM, json.dumps(modules), str(program)]
    done = subprocess.run(command, env=common, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), variables


def test_no_shared_module_reads_at_import_what_differs_between_functions() -> None:
    """Such a module would have the value of none, or keep one function's for another."""
    told, variables = _told()
    assert "*" not in told["read"]
    differing = {name for name in told["read"] if len({each.get(name) for each in variables}) > 1}
    assert differing <= _HARMLESS


def test_nothing_is_made_that_a_worker_must_make_for_itself() -> None:
    """Settings are read by the worker, from its own variables; a thread would be missing in it."""
    told, _ = _told()
    assert told["settings"] == 0
    assert told["threads"] == 1


def test_what_functions_use_is_shared() -> None:
    """Else every worker would import it and hold its memory."""
    told, _ = _told()
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
    assert heavy <= set(told["modules"])


def test_functions_without_the_operations_layer_do_not_get_it() -> None:
    """Its modules are none that all functions have on Lambda."""
    told, _ = _told()
    assert not [name for name in told["modules"] if name.partition(".")[0] in {"background", "local", "app"}]
