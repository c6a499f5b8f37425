"""Command line: `python -m local.gateway serve | invoke | transform`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from local.gateway.invocation import Invocation, Outcome
from local.gateway.settings import Settings, read_settings
from local.gateway.template import TemplateUnusable, read_stack, translated
from local.serving.json_log import configure_log
from local.serving.sockets import PortUnusable
from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    from local.gateway.stack import Stack

_log = logging.getLogger("gateway")


def main() -> int:
    """Run the command. Return 0 for success, 1 for a failure whose reason is on stderr, 2 for wrong arguments."""
    arguments = _parser().parse_args()
    try:
        settings = read_settings(os.environ)
        # On stdout, `invoke` prints the function's answer and nothing else.
        configure_log("gateway", settings.log_level, sys.stderr if arguments.command == "invoke" else sys.stdout)
        if arguments.command == "transform":
            print(json.dumps(translated(arguments.template, region=settings.region), indent=1))
            return 0
        stack = _stack(arguments.template, settings)
        if arguments.command == "invoke":
            return _invoke(stack, settings, arguments.function, arguments.event)
        return _serve(stack, settings)
    except (SettingsUnusable, TemplateUnusable, PortUnusable) as error:
        return _fail(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local.gateway", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve the HTTP API and the Lambda Invoke API until SIGTERM or SIGINT")
    invoke = commands.add_parser("invoke", help="invoke one function once and print its answer")
    invoke.add_argument("function", help="logical id (or FunctionName) of the function")
    invoke.add_argument("-e", "--event", default="", help="file with the event, - for stdin; default: an empty object")
    transform = commands.add_parser("transform", help="print the template as CloudFormation receives it")
    for command in (serve, invoke, transform):
        command.add_argument("--template", type=Path, default=Path("template.yaml"))
    return parser


def _stack(template: Path, settings: Settings) -> Stack:
    """Read the template in a process of its own, because SAM's translator would stay in the gateway's memory."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as apart:
        return apart.submit(read_stack, template, region=settings.region, parameters=settings.parameters).result()


def _serve(stack: Stack, settings: Settings) -> int:
    from local.gateway.server import serve

    for warning in stack.warnings:
        _log.warning(warning)
    # A variable with the secret itself replaces the variable with the secret's ARN.
    unset = [name for name in stack.unresolved if name.removesuffix("_SECRET_ARN") not in os.environ]
    if unset:
        _log.warning("only a deployment has values of %s: set those that you need", ", ".join(unset))
    asyncio.run(serve(stack, settings))
    return 0


def _invoke(stack: Stack, settings: Settings, name: str, event: str) -> int:
    function = next((each for each in stack.functions.values() if name in each.names), None)
    if function is None:
        return _fail(f"no function {name} in the template; it has {', '.join(stack.functions)}")
    try:
        payload = sys.stdin.buffer.read() if event == "-" else Path(event).read_bytes() if event else b"{}"
        json.loads(payload)
    except (OSError, ValueError) as error:
        return _fail(f"event {event}: {error}")
    outcome = asyncio.run(_invoke_once(stack, settings, function.logical_id, payload))
    print(outcome.payload.decode(errors="replace"))
    return 1 if outcome.function_error else 0


async def _invoke_once(stack: Stack, settings: Settings, function: str, payload: bytes) -> Outcome:
    from local.gateway.server import lambda_service

    service = lambda_service(stack, settings, settings.lambda_port, workers=1, stdout=sys.stderr.fileno())
    try:
        return await service.invoke(function, Invocation(payload))
    finally:
        await service.close(grace=0)


def _fail(message: str) -> int:
    print(message, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
