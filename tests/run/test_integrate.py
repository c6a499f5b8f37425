"""Run the programs of docs/integrate.md without changes against the running system."""

import json
import re
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer
from tests.clients.generated import compiled, node, typescript_project
from tests.documented_commands import blocks, hold_against
from tests.service import ROOT
from tests.system import System, running_system

PAGE = (ROOT / "docs" / "integrate.md").read_text()
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
# An expired token and an invalid one get the same answer: 401 `unauthenticated`.
EXPIRES_PYTHON = ('        print("found:"', '        session._tokens["access_token"] = "a.b.c"\n')
# In TypeScript the first refresh gets a 429 and keeps the session. Then several requests share one refresh.
EXPIRES_TYPESCRIPT = (
    "const found: string[] = [];",
    """
if (tokens) {
  tokens.access_token = "a.b.c";
}
const send_ = globalThis.fetch;
let refreshes = 0;
globalThis.fetch = async (input, init) => {
  const refresh = input instanceof Request && input.url.endsWith("/users/tokens/refresh");
  refreshes += refresh ? 1 : 0;
  return refresh && refreshes === 1 ? new Response(null, { status: 429 }) : send_(input, init);
};
console.log("kept:", (await users.GET("/users/profile")).response.status, tokens !== undefined);
const statuses = await Promise.all([1, 2, 3].map(async () => (await users.GET("/users/profile")).response.status));
console.log("shared:", refreshes, ...statuses);
if (tokens) {
  tokens.access_token = "a.b.c";
}
""",
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def open_system(
    postgres: PostgresServer, mail_server: MailServer, environment: dict[str, str], parts_folder: Path
) -> Iterator[System]:
    """Yield a system with three accounts, as `make run` configures it: unverified accounts may do everything."""
    conninfo = postgres.create_database("integrate")
    own = {"MG_ALLOW_UNVERIFIED_USER": "true", "MG_LOCAL_WORKERS": "1"}
    with running_system("integrate", conninfo, mail_server.url, environment | own, parts_folder) as started:
        for number in range(3):
            started.register(credentials={"username": f"ada-{number}"})
        yield started


def program(name: str, system: System, keys: str, expires: tuple[str, str]) -> str:
    """Return a program of the page, with the addresses of this system.

    ``expires`` is a line of the program, and the code before it that makes the program's access token expire.
    """
    (text,) = re.findall(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    for shown, address in (
        ("http://localhost:9002", system.url),
        ("http://localhost:9001/keys/.well-known/jwks.json", keys),
    ):
        assert text.count(shown) == 1
        text = text.replace(shown, address)
    line, ending = expires
    assert text.count(line) == 1
    return text.replace(line, ending + line)


def test_the_python_program(open_system: System, environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(program("example.py", open_system, environment["MG_AUTH_JWKS_URL"], EXPIRES_PYTHON))
    done = subprocess.run([sys.executable, "-W", "error", file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", SHOWN[0])
    style = [Path(sys.executable).parent / "ruff", "check", "--isolated", "--line-length", "120", file]
    checked = subprocess.run(style, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_the_typescript_program(open_system: System, environment: dict[str, str], tmp_path: Path) -> None:
    typescript_project(tmp_path)
    source = program("example.mts", open_system, environment["MG_AUTH_JWKS_URL"], EXPIRES_TYPESCRIPT)
    compiler = compiled(tmp_path, {"example.mts": source})
    assert (compiler.returncode, compiler.stdout) == (0, "")
    done = node("example.mjs", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    as_json = re.sub(r"\{.*\}", lambda found: json.dumps(literal_eval(found[0]), separators=(",", ":")), SHOWN[0])
    at_expiry = "kept: 401 true\nshared: 2 200 200 200\n"
    assert done.stdout == as_json.replace("True", "true").replace("found:", f"{at_expiry}found:")


def test_the_commands(open_system: System) -> None:
    (shown,) = blocks(PAGE)
    hold_against([shown], open_system, set())


def test_the_example_of_an_error(open_system: System) -> None:
    (shown,) = re.findall(r'```json\n(\{\n  "message".*?)```', PAGE, re.DOTALL)
    body = {
        "first_name": "A",
        "last_name": "L",
        "email": "x",
        "credentials": {"username": "_", "secret": "short"},
    }
    assert open_system.call("POST", "/users", body).json() == json.loads(shown)
