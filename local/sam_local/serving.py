"""Makes everything ready for `sam local`, and keeps it so until asked to stop or until `make run` ends."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import yaml
from dotenv import dotenv_values

from local import install
from local.environment_file import ENVIRONMENT_FILE
from local.gateway.settings import read_settings
from local.gateway.template import read_stack
from local.private_files import write_private
from local.sam_local import engine
from local.sam_local.addresses import as_containers_reach_them, ports_of_this_machine
from local.sam_local.filled_events import write_events
from local.sam_local.relay import Relay
from local.sam_local.template import local_template, values

_WATCH_SECONDS = 1.0
_PROBE_SECONDS = 5.0


class NotReady(Exception):
    """Something that `sam local` needs is missing; the text says what helps."""


@dataclass(frozen=True)
class RunningPlace:
    """Where the running system told its configuration, and where what is written for `sam local` goes."""

    environment_file: Path
    folder: Path

    @classmethod
    def of(cls, variables: dict[str, str]) -> "RunningPlace":
        """Take `.local`, or what MG_LOCAL_DIR names; NotReady unless `make run` runs there."""
        data = Path(variables.get("MG_LOCAL_DIR") or install.ROOT / ".local").resolve()
        place = cls(data / ENVIRONMENT_FILE, data / "sam")
        if not place.environment_file.exists():
            raise NotReady(f"`make run` does not run here ({place.environment_file} is missing): start it first.")
        return place

    @property
    def template(self) -> Path:
        """The template that samconfig.toml names."""
        return self.folder / "template.yaml"

    @property
    def variables(self) -> Path:
        """The functions' variables, which samconfig.toml names too."""
        return self.folder / "variables.json"

    @property
    def events(self) -> Path:
        """The events with real tokens."""
        return self.folder / "events"

    def environment(self) -> dict[str, str]:
        """Return the configuration of the running system."""
        return {name: value or "" for name, value in dotenv_values(self.environment_file, interpolate=False).items()}


def renew_events(place: RunningPlace) -> int:
    """Write events with fresh tokens; return the exit code."""
    write_events(place.environment(), place.events)
    _say(f"{place.events} has every event, with tokens that are good for an hour.")
    return 0


def serve(place: RunningPlace) -> int:
    """Build the functions, write template and events, and lead containers to the parts; return the exit code."""
    environment = place.environment()
    bridge = engine.find_bridge()
    _check_parts(environment)
    if not engine.has_image():
        _say(f"Fetching {engine.image_name()}")
        engine.pull_image()
    if title := engine.image_title():
        _say(f"The image is no image of Amazon's: {title}")
    _build(place)
    try:
        write_events(environment, place.events)
        return asyncio.run(_serve(place, environment, bridge))
    finally:
        for file in (place.template, place.variables):
            file.unlink(missing_ok=True)
        shutil.rmtree(place.events, ignore_errors=True)


def _check_parts(environment: dict[str, str]) -> None:
    """Raise NotReady, naming the first part of this machine that nobody serves."""
    for port, variable in ports_of_this_machine(environment).items():
        try:
            socket.create_connection(("localhost", port), _PROBE_SECONDS).close()
        except OSError as error:
            raise NotReady(f"nothing answers on port {port} of this machine ({variable}): {error}") from error


def _build(place: RunningPlace) -> None:
    """Run `sam build` for this machine's architecture, beside the build that is deployed; NotReady when it fails."""
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


async def _serve(place: RunningPlace, environment: dict[str, str], bridge: engine.Bridge) -> int:
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


def _write_template(place: RunningPlace, variables: dict[str, str]) -> None:
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
  events     {events}: with real tokens, for an hour; `make sam-events` renews them
  template   {template}: with the secrets of `make run`, and removed at the end

  Ctrl-C ends this.
"""


def _shown(path: Path) -> Path:
    """Return a path of the project as it is typed there."""
    return path.relative_to(install.ROOT) if path.is_relative_to(install.ROOT) else path


def _say(text: str) -> None:
    print(text, flush=True)
