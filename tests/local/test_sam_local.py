"""The files of `make sam-local`, read as SAM reads them, and its relay, without a container engine."""

import asyncio
import ipaddress
import json
import os
import random
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from local import environment, install, ports
from local.gateway.settings import read_settings
from local.gateway.template import read_stack
from local.parts.launch import ROOT
from local.sam_local.addresses import MACHINE, as_containers_reach_them, ports_of_this_machine
from local.sam_local.committed_events import function_of
from local.sam_local.engine import Bridge, EngineUnusable
from local.sam_local.filled_events import write_events
from local.sam_local.place import Place
from local.sam_local.relay import Relay
from local.sam_local.template import local_template, values
from local.serving.other_sites import refusal
from tests.system import ADMIN_EMAIL, ADMIN_PASSWORD, System

OPERATIONS = sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))
SAM_PYTHON = install.SAM.place / "bin" / "python"
GATEWAY = "172.17.0.1"
READ_AS_SAM_DOES = """
import json, sys
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
stacks, _ = SamLocalStackProvider.get_stacks(sys.argv[1])
functions = {
    found.name: {
        "architectures": found.architectures,
        "variables": found.environment["Variables"],
        "folders": [found.codeuri, *(layer.codeuri for layer in found.layers)],
        "runtime": found.runtime,
    }
    for found in SamFunctionProvider(stacks).get_all()
}
api = ApiProvider(stacks).api
routes = [f"{method} {route.path} {route.event_type}" for route in api.routes for method in route.methods]
print(json.dumps({"functions": functions, "routes": routes}))
"""


def configuration(local: Path, **user: str) -> dict[str, str]:
    """Return the functions' configuration in `make run`, with the variables `user`."""
    found = ports.read(user)
    parts = environment.parts_wanted(user, found)
    return environment.functions_environment(user, parts, found, "/socket" if parts.database else None, local)


def through_relay(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables as containers reach them. The relay's ports are 10000 higher than those of this machine."""
    relayed = {port: 10000 + port for port in ports_of_this_machine(variables)}
    return as_containers_reach_them(variables, GATEWAY, relayed)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    variables = through_relay(configuration(tmp_path_factory.mktemp("local")))
    settings = read_settings(variables)
    stack = read_stack(ROOT / "template.yaml", region=settings.region, parameters=settings.parameters)
    return local_template(stack, variables, "x86_64")


@pytest.fixture(scope="module")
def as_sam_reads_it(template: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not SAM_PYTHON.exists():
        pytest.skip("no SAM here: `make build` installs it")
    file = tmp_path_factory.mktemp("sam") / "template.yaml"
    file.write_text(yaml.safe_dump(template, sort_keys=False))
    command = [SAM_PYTHON, "-c", READ_AS_SAM_DOES, file]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_sam_finds_every_function_of_this_architecture(as_sam_reads_it: dict[str, Any]) -> None:
    functions = as_sam_reads_it["functions"]
    assert sorted(functions) == sorted(map(function_of, OPERATIONS))
    for name, found in functions.items():
        assert found["architectures"] == ["x86_64"], name
        assert found["runtime"] == "python3.13", name
        assert len(found["folders"]) >= 3, name
        assert all(Path(folder).is_dir() for folder in found["folders"]), name


def test_sam_finds_every_value(as_sam_reads_it: dict[str, Any], template: dict[str, Any]) -> None:
    for name, found in as_sam_reads_it["functions"].items():
        variables = found["variables"]
        assert all(isinstance(value, str) and "${" not in value for value in variables.values()), name
        assert not [each for each in variables if each.endswith("_SECRET_ARN") and variables[each]], name
        assert variables == values(template)[name]
        assert variables["MG_USERS_DB_HOST"] == GATEWAY
        assert variables["MG_USERS_DB_PASS"]
        assert variables["MG_USERS_DB_SSL_MODE"] == "disable"


def test_sam_finds_every_route(as_sam_reads_it: dict[str, Any]) -> None:
    stack = read_stack(ROOT / "template.yaml", region="eu-central-1")
    assert stack.routes
    assert set(as_sam_reads_it["routes"]) == {f"{route.method} {route.path} HttpApi" for route in stack.routes}


def test_no_value_leads_a_container_to_itself(template: dict[str, Any]) -> None:
    """Links in mails are an exception, because a browser on this machine opens them."""
    links = {"MG_PASSWORD_RESET_URL_PREFIX", "MG_VERIFICATION_URL_PREFIX"}
    for name, variables in values(template).items():
        own = {key for key, value in variables.items() if "localhost" in value.replace(MACHINE, "") or "127." in value}
        assert own <= links, name


def test_sam_takes_what_is_written_by_plain_commands() -> None:
    place = Place(ROOT / ".local" / "environment", ROOT / ".local" / "sam")
    commands = tomllib.loads((ROOT / "samconfig.toml").read_text())["default"]
    for command in ("local_invoke", "local_start_api", "local_start_lambda"):
        options = commands[command]["parameters"]
        assert ROOT / options["template_file"] == place.template, command
        assert ROOT / options["env_vars"] == place.variables, command
        assert options["add_host"] == [f"{MACHINE}:host-gateway"], command
        assert options["skip_pull_image"], command


def test_the_parts_that_look_at_the_host_take_containers() -> None:
    assert refusal({"host": f"{MACHINE}:40001"}) is None


def test_every_part_is_reached_through_the_relay(tmp_path: Path) -> None:
    variables = configuration(tmp_path)
    relayed = set(ports.DEFAULTS.values()) - {ports.DEFAULTS["MG_USERS_HTTP_PORT"]}
    assert ports_of_this_machine(variables).keys() == relayed
    found = through_relay(variables)
    assert {name: value for name, value in found.items() if variables[name] != value} == {
        "AWS_ENDPOINT_URL_LAMBDA": f"http://{MACHINE}:19003",
        "AWS_ENDPOINT_URL_SESV2": f"http://{MACHINE}:18005",
        "MG_AUTH_GRPC_URL": f"{GATEWAY}:18181",
        "MG_AUTH_JWKS_URL": f"http://{GATEWAY}:19001/keys/.well-known/jwks.json",
        "MG_DOMAINS_GRPC_URL": f"{GATEWAY}:18181",
        "MG_SPICEDB_HOST": GATEWAY,
        "MG_SPICEDB_PORT": "60051",
        "MG_USERS_DB_HOST": GATEWAY,
        "MG_USERS_DB_PORT": "15434",
        "MG_USERS_ES_URL": f"nats://{GATEWAY}:14222",
    }


def test_what_is_elsewhere_is_reached_as_before() -> None:
    elsewhere = {
        "MG_USERS_DB_HOST": "db.example.com",
        "MG_AUTH_GRPC_URL": "auth.example.com:8181",
        "MG_USERS_ES_URL": "nats://my-localhost:4222",
        "AWS_ENDPOINT_URL_SESV2": "http://10.0.0.127:8005",
        "MG_EMAIL_HOST": "",
    }
    assert ports_of_this_machine(elsewhere) == {}
    assert through_relay(elsewhere) == elsewhere


def test_an_own_server_of_this_machine_is_reached_too() -> None:
    own = {"MG_USERS_DB_HOST": "localhost", "MG_EMAIL_HOST": "127.0.0.1", "MG_EMAIL_PORT": "1025"}
    assert ports_of_this_machine(own) == {5432: "MG_USERS_DB_HOST", 1025: "MG_EMAIL_HOST"}
    assert through_relay(own) == {
        "MG_USERS_DB_HOST": GATEWAY,
        "MG_USERS_DB_PORT": "15432",
        "MG_EMAIL_HOST": GATEWAY,
        "MG_EMAIL_PORT": "11025",
    }


async def greeted(address: tuple[str, int], source: str) -> bytes:
    """Send a word from the address `source`. Return the answer, or nothing when the server closes the connection."""
    reader, writer = await asyncio.open_connection(*address, local_addr=(source, 0))
    with closing(writer):
        try:
            writer.write(b"word")
            writer.write_eof()
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionError:
            return b""


async def carried(bridge: Bridge, sources: list[str]) -> list[bytes]:
    """Return the answer of a server that echoes to each source, through the relay."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            writer.write(b"echo " + await reader.read())
            await writer.drain()

    async with await asyncio.start_server(echo, "127.0.0.1", 0) as server, Relay(bridge) as relay:
        port = await relay.lead_to(server.sockets[0].getsockname()[1])
        return [await greeted((str(bridge.gateway), port), source) for source in sources]


def test_the_relay_carries_for_containers_only() -> None:
    """It refuses other networks, and other users of this machine, who connect from its own address."""
    bridge = Bridge(ipaddress.IPv4Address("127.0.7.1"), ipaddress.IPv4Network("127.0.7.0/24"))
    found = asyncio.run(carried(bridge, ["127.0.7.2", "127.0.7.1", "127.0.0.1", "127.0.8.2", "127.0.7.3"]))
    assert found == [b"echo word", b"", b"", b"", b"echo word"]


def test_the_relay_closes_a_connection_to_a_part_that_does_not_run() -> None:
    async def call() -> bytes:
        bridge = Bridge(ipaddress.IPv4Address("127.0.7.1"), ipaddress.IPv4Network("127.0.7.0/24"))
        async with Relay(bridge) as relay:
            return await greeted(("127.0.7.1", await relay.lead_to(1)), "127.0.7.2")

    assert asyncio.run(call()) == b""


def test_an_engine_in_another_machine_is_named() -> None:
    async def listen() -> None:
        async with Relay(Bridge(ipaddress.IPv4Address("192.0.2.1"), ipaddress.IPv4Network("192.0.2.0/24"))) as relay:
            await relay.lead_to(1)

    with pytest.raises(EngineUnusable, match=r"192\.0\.2\.1, which is no address of this machine"):
        asyncio.run(listen())


def test_without_make_run_it_names_what_is_missing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.sam_local", "serve"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "MG_LOCAL_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("`make run` does not run here"), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def filled(system: System, tmp_path: Path) -> Path:
    environment = {
        "AWS_ENDPOINT_URL_LAMBDA": system.lambda_url,
        "AWS_ENDPOINT_URL_SESV2": system.mail_url,
        "MG_USERS_ADMIN_EMAIL": ADMIN_EMAIL,
        "MG_USERS_ADMIN_PASSWORD": ADMIN_PASSWORD,
    }
    write_events(environment, tmp_path / "events")
    return tmp_path / "events"


@pytest.mark.long
def test_every_filled_event_succeeds_in_any_order(system: System, filled: Path) -> None:
    assert filled.stat().st_mode & 0o777 == 0o700
    for operation in random.sample(OPERATIONS, len(OPERATIONS)):
        file = filled / f"{operation}.json"
        assert file.stat().st_mode & 0o777 == 0o600
        url = f"{system.lambda_url}/2015-03-31/functions/{function_of(operation)}/invocations"
        headers = {"Content-Type": "application/json"}
        answer = httpx.post(url, content=file.read_bytes(), headers=headers, timeout=60, trust_env=False)
        assert "x-amz-function-error" not in answer.headers, (operation, answer.text)
        if "requestContext" in json.loads(file.read_text()):
            assert answer.json()["statusCode"] < 300, (operation, answer.text)
