"""The commands of docs/this-machine.md work, with the files that the page refers to."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local import checks, environment, ports
from local.parts.postgres_home import server_account
from tests.deliveries import mails_to
from tests.local.processes import eventually
from tests.local.test_supervisor import Run
from tests.service import PASSWORD, ROOT, registration

PAGE = (ROOT / "docs/this-machine.md").read_text()
UNIT = ROOT / "local/systemd/magistrala-users.service"
SETTINGS = ROOT / "local/systemd/settings.env"


def commands(name: str) -> str:
    """Return the block of commands below a mark of the page."""
    found = re.search(rf"<!-- {name} -->\n```sh\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def settings() -> dict[str, str]:
    lines = [line for line in SETTINGS.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


class Machine:
    """A machine set up by the page, at other paths and ports. This test does the work of systemd."""

    def __init__(self, place: Path) -> None:
        self.data = place / "data"
        self.backups = place / "backups"
        self.start()

    def start(self) -> None:
        self.run = Run(self.data)
        self.run.read_until("Ctrl-C stops everything")

    def stop(self) -> None:
        self.run.process.terminate()
        assert self.run.wait() == 0, self.run.output

    def type(self, block: str) -> None:
        """Run a block of the page."""
        for step in re.split(r"^sudo (systemctl \w+) magistrala-users\n", block, flags=re.MULTILINE):
            if step == "systemctl stop":
                self.stop()
            elif step == "systemctl start":
                self._own()
                self.start()
            else:
                subprocess.run(["bash", "-ec", self._here(step)], check=True, cwd=ROOT, capture_output=True, text=True)

    def _here(self, text: str) -> str:
        text = re.sub(r"sudo (-u \w+ )?", "", text).replace("-o magistrala -g magistrala ", "")
        text = text.replace("/var/backups/magistrala", str(self.backups)).replace("/opt/magistrala-users", str(ROOT))
        return text.replace("/var/lib/magistrala", str(self.data))

    def _own(self) -> None:
        """Change the owner of restored files.

        Root starts PostgreSQL as another user. The account on the page is that user already.
        """
        if (account := server_account()) is not None:
            (self.data / "postgres").chmod(0o711)
            for place in [self.data / "postgres/data", *(self.data / "postgres/data").rglob("*")]:
                os.chown(place, account.uid, account.gid, follow_symlinks=False)

    def register(self) -> str:
        body = registration()
        answer = httpx.post(f"{self.run.api}/users", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        return str(body["email"])

    def log_in(self, address: str) -> tuple[int, str]:
        login = {"identity": address, "secret": PASSWORD}
        answer = httpx.post(f"{self.run.api}/users/tokens/issue", json=login, timeout=30)
        return answer.status_code, answer.json().get("access_token", "")

    def accepts(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.get(f"{self.run.api}/users/profile", headers=headers, timeout=30).status_code == 200

    def mails(self, address: str) -> int:
        page = re.search(r"Mail page +(http\S+)", self.run.output)
        assert page
        return len(mails_to(page[1], address))


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="mg-machine-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        started = Machine(Path(folder))
        yield started
        started.run.process.terminate()
        started.run.wait()


@pytest.mark.long
@pytest.mark.parametrize(
    ("backup", "restore"),
    [("backup", "restore"), ("backup while it runs", "restore what was made while it ran")],
)
def test_a_backup_brings_everything_back(machine: Machine, backup: str, restore: str) -> None:
    """Accounts, mails and keys return. A token from before the backup is valid, and later changes are gone."""
    before = machine.register()
    eventually(lambda: machine.mails(before) == 1, 90)
    status, token = machine.log_in(before)
    assert status == 201
    machine.type(commands(backup))
    later = machine.register()
    assert machine.log_in(later)[0] == 201
    machine.type(commands(restore))
    assert machine.accepts(token)
    assert machine.log_in(before)[0] == 201
    assert machine.log_in(later)[0] == 401
    assert machine.mails(before) == 1
    assert machine.log_in(machine.register())[0] == 201


def test_the_unit_and_the_page_name_the_same_places() -> None:
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert unit["WorkingDirectory"] == unit["ReadWritePaths"] == "/opt/magistrala-users"
    assert unit["EnvironmentFile"] == "/etc/magistrala-users.env"
    assert "Environment=MG_LOCAL_DIR=/var/lib/magistrala\n" in UNIT.read_text()
    for place in (*unit["WorkingDirectory"].split(), unit["EnvironmentFile"], "/var/lib/magistrala"):
        assert place in PAGE
    assert (
        f"useradd --system --user-group --home-dir /var/lib/magistrala --shell /usr/sbin/nologin {unit['User']}" in PAGE
    )
    program, script, *arguments = unit["ExecStart"].split()
    assert (program, (ROOT / script).is_file(), arguments) == ("/usr/bin/python3", True, ["run"])


@pytest.mark.long
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine")
def test_the_unit_is_one() -> None:
    command = ["systemd-analyze", "verify", "--man=no", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if UNIT.name in line]) == (0, [])


def test_the_shipped_settings_need_a_password_and_nothing_else() -> None:
    given = settings()
    parts = environment.parts_wanted(given, ports.read(given))
    assert environment.exposing(given, ports.read(given)) == "MG_USERS_TRUSTED_PROXIES=127.0.0.1"
    assert checks.known_secrets(given, parts) == ["MG_USERS_ADMIN_PASSWORD"]
    given["MG_USERS_ADMIN_PASSWORD"] = "an operator chose this"
    assert checks.known_secrets(given, parts) == []
    assert checks.problems(given, parts, ports.read(given)) == []
    documented = (ROOT / "docs/configuration.md").read_text()
    assert [name for name in given if f"`{name}`" not in documented] == []
