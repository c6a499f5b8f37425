"""S52 A handler that forgets to admit its caller answers 500, with ``python -O`` as well as without."""

import json
import os
import subprocess
import sys

import pytest

from tests.people import person
from tests.service import ROOT, Service

# Prints the answers of a handler without `admit`, of a handler that swallows a refusal, and of the real view_profile.
PROGRAM = """
import importlib.util, json, sys
from types import SimpleNamespace
from users.access import ADMINISTRATOR, ANYBODY, SIGNED_IN
from users.edge.http import Reply, operation
from users.errors import UsersError

@operation("forgetful", access=SIGNED_IN)
def forgetful(request):
    return Reply(200, {"page": "canary"})

@operation("swallowing", access=ANYBODY)
def swallowing(request):
    try:
        request.require(ADMINISTRATOR)
    except UsersError:
        pass
    return Reply(200, {"page": "canary"})

spec = importlib.util.spec_from_file_location("app", "functions/view_profile/app.py")
view_profile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(view_profile)

http = {"method": "GET", "sourceIp": "192.0.2.52"}
headers = {"authorization": f"Bearer {sys.argv[1]}"}
event = {"headers": headers, "rawQueryString": "", "requestContext": {"http": http}}
for handler in (forgetful, swallowing, view_profile.lambda_handler):
    answer = handler(event, SimpleNamespace())
    print("ANSWER", json.dumps([answer["statusCode"], answer["body"]]))
"""


@pytest.mark.parametrize("options", [[], ["-O"], ["-OO"]], ids=["plain", "-O", "-OO"])
def test_s52_a_handler_that_forgets_its_caller(service: Service, options: list[str]) -> None:
    token = person(service).token
    layers = [str(ROOT / "layers" / layer / "python") for layer in ("common", "background")]
    environment = {**os.environ, **service.environment, "PYTHONPATH": os.pathsep.join(layers)}
    command = [sys.executable, *options, "-c", PROGRAM, token]
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    answers = [line.removeprefix("ANSWER ") for line in done.stdout.splitlines() if line.startswith("ANSWER ")]
    forgetful, swallowing, profile = (json.loads(line) for line in answers)
    for status, body in (forgetful, swallowing):
        assert (status, json.loads(body)["error"]) == (500, "internal")
        assert "canary" not in body
    assert profile[0] == 200
    metrics = [json.loads(line) for line in done.stdout.splitlines() if '"_aws"' in line]
    assert sum("InternalErrors" in each for each in metrics) == 2
