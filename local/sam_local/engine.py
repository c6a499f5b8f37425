"""The container engine, asked by its command line `docker`. DOCKER_HOST is its address, also for SAM."""

import ipaddress
import json
import platform
import subprocess
from dataclasses import dataclass

from local.sam_local.addresses import MACHINE

RUNTIME = "python3.13"
_REGISTRY = "public.ecr.aws/lambda"
_REACH_SECONDS = 5
_PULL_SECONDS = 900


class EngineUnusable(Exception):
    """There is no engine, or something in it is missing. The text contains the remedy."""


@dataclass(frozen=True)
class Bridge:
    """The network of containers: this machine's address in it, and the addresses of all its members."""

    gateway: ipaddress.IPv4Address
    subnet: ipaddress.IPv4Network

    def has(self, address: str) -> bool:
        """Return whether a container may have this address: it is of the network, and not this machine's own."""
        found = ipaddress.ip_address(address)
        return found in self.subnet and found != self.gateway


def find_bridge() -> Bridge:
    """Return Docker's default network, which SAM's containers join. Raise EngineUnusable."""
    configuration = _docker("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}")
    for entry in json.loads(configuration) or []:
        subnet = ipaddress.ip_network(entry.get("Subnet", ""))
        if isinstance(subnet, ipaddress.IPv4Network):
            gateway = entry.get("Gateway") or str(next(subnet.hosts()))
            return Bridge(ipaddress.IPv4Address(gateway.partition("/")[0]), subnet)
    raise EngineUnusable("Docker's network `bridge` has no IPv4 addresses, so no container could reach this machine")


def architecture() -> str:
    """Return this machine's architecture by Lambda's name."""
    return "arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def image_name() -> str:
    """Return the name of the image that SAM runs the functions in on this machine."""
    return f"{_REGISTRY}/{RUNTIME.replace('python', 'python:')}-{architecture()}"


def has_image() -> bool:
    """Return whether the engine has the image."""
    return bool(_docker("image", "ls", "--quiet", image_name()))


def image_title() -> str:
    """Return the title in the image's labels. Amazon's image has none."""
    label = '{{index .Config.Labels "org.opencontainers.image.title"}}'
    return _docker("image", "inspect", image_name(), "--format", label)


def pull_image() -> None:
    """Fetch the image from Amazon's registry. Raise EngineUnusable."""
    try:
        _docker("pull", "--quiet", image_name(), seconds=_PULL_SECONDS)
    except EngineUnusable as problem:
        raise EngineUnusable(
            f"{problem}\n`make sam-image` makes a stand-in of Debian's packages, without that registry."
        ) from problem


def check_reach(port: int) -> None:
    """Let a container open a connection to `port` of this machine. Raise EngineUnusable when it cannot."""
    script = f"import socket; socket.create_connection(('{MACHINE}', {port}), {_REACH_SECONDS}).close()"
    try:
        _docker("run", "--rm", f"--add-host={MACHINE}:host-gateway", "--entrypoint=python3", image_name(), "-c", script)
    except EngineUnusable as problem:
        raise EngineUnusable(
            f"{problem}\nA container cannot reach this machine. Does a firewall stop it? Let in the interface of"
            " Docker's network, such as `ufw allow in on docker0`."
        ) from problem


def _docker(*arguments: str, seconds: int = 60) -> str:
    """Return the output of `docker`. Raise EngineUnusable with the last line of its errors."""
    try:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=seconds)
    except FileNotFoundError as error:
        raise EngineUnusable("there is no program `docker`: install Docker Engine") from error
    except subprocess.TimeoutExpired as error:
        raise EngineUnusable(f"`docker {arguments[0]}` did not end within {seconds} s") from error
    if done.returncode != 0:
        complaint = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
        raise EngineUnusable(f"`docker {arguments[0]}` failed: {complaint}")
    return done.stdout.strip()
