"""Prepares everything for `sam local`, until a signal stops it or `make run` ends."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import yaml

from local import install
from local.gateway.settings import read_settings
from local.gateway.template import read_stack
from local.private_files import write_private
from local.sam_local import engine
from local.sam_local.addresses import as_containers_reach_them, ports_of_this_machine
from local.sam_local.filled_events import write_events
from local.sam_local.place import NotReady, Place
from local.sam_local.relay import Relay
from local.sam_local.template import local_template, values

_WATCH_SECONDS = 1.0
_PROBE_SECONDS = 5.0


def renew_events(place: Place) -> int:
    """Write events with fresh tokens. Return the exit code."""
    write_events(place.environment(), place.events)
    _say(f"{place.events} has every event, with tokens that are valid for an hour.")
    return 0


def serve(place: Place) -> int:
    """Build the functions, write template and events, run the relay. Return the exit code."""
    environment = place.environment()
    bridge = engine.find_bridge()
    _check_parts(environment)
    if not engine.has_image():
        _say(f"Fetching {engine.image_name()}")
        engine.pull_image()
    if title := engine.image_title():
        _say(f"The image is not Amazon's: {title}")
    _build(place)
    try:
        write_events(environment, place.events)
        return asyncio.run(_serve(place, environment, bridge))
    finally:
        for file in (place.template, place.variables):
            file.unlink(missing_ok=True)
        shutil.rmtree(place.events, ignore_errors=True)


def _check_parts(environment: dict[str, str]) -> None:
    """Raise NotReady for the first port of this machine that nothing listens on."""
    for port, variable in ports_of_this_machine(environment).items():
        try:
            socket.create_connection(("localhost", port), _PROBE_SECONDS).close()
        except OSError as error:
            raise NotReady(f"nothing answers on port {port} of this machine ({variable}): {error}") from error


def _build(place: Place) -> None:
    """Run `sam build` for this machine's architecture, in a folder of its own. Raise NotReady when it fails."""
    _say("Building the functions, which takes half a minute")
    sam = install.SAM.place / "bin" / "sam"
    if not sam.exists():
        raise NotReady(f"{sam} is missing: `make sam-local` installs it")
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = place.folder / "build.log"
    architecture = f"Architecture={engine.architecture()}"
    with log.open("w") as output:
        done = subprocess.run(
            [sam, "build", "--build-dir", place.folder / "build", "--parameter-overrides", architecture],
            cwd=install.ROOT,
            env={**os.environ, "SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise NotReady(f"{log.read_text(errors='replace')}\n`sam build` failed, see above")


async def _serve(place: Place, environment: dict[str, str], bridge: engine.Bridge) -> int:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    async with Relay(bridge) as relay:
        relayed = {port: await relay.lead_to(port) for port in ports_of_this_machine(environment)}
        await asyncio.to_thread(engine.check_reach, next(iter(relayed.values())))
        variables = as_containers_reach_them(environment, str(bridge.gateway), relayed)
        _write_template(place, variables)
        _say(_READY.format(events=_shown(place.events), template=_shown(place.template)))
        while place.environment_file.exists():
            try:
                await asyncio.wait_for(asked.wait(), _WATCH_SECONDS)
            except TimeoutError:
                continue
            return 0
    _say("`make run` has ended: start both again.")
    return 1


def _write_template(place: Place, variables: dict[str, str]) -> None:
    settings = read_settings(variables)
    stack = read_stack(place.folder / "build" / "template.yaml", region=settings.region, parameters=settings.parameters)
    template = local_template(stack, variables, engine.architecture())
    write_private(place.template, yaml.safe_dump(template, sort_keys=False))
    write_private(place.variables, json.dumps(values(template), indent=2))


_READY = """
`sam local` is ready, in another terminal:

  sam local invoke HealthFunction -e events/health.json
  sam local invoke ViewProfileFunction -e {events}/view_profile.json
  sam local start-api
  sam local start-lambda

  sam        .local/tools/sam/bin/sam
  events     {events}: with tokens that are valid for an hour; `make sam-events` renews them
  template   {template}: contains the secrets of `make run`; Ctrl-C removes it

  Ctrl-C ends this.
"""


def _shown(path: Path) -> Path:
    """Return a path as a person in the project's folder types it."""
    return path.relative_to(install.ROOT) if path.is_relative_to(install.ROOT) else path


def _say(text: str) -> None:
    print(text, flush=True)
