"""The SES endpoint and its page of mails (local/mail/server.js)."""

import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from local import install
from local.parts.launch import ROOT, Launch, PartFailed, spawn
from local.parts.process import Part
from local.serving.sockets import LOOPBACK

_PROBE_SECONDS = 1.0
# The program has little to do, so it saves memory instead of time.
_SMALL = ("--optimize-for-size", "--max-semi-space-size=1", "--v8-pool-size=1")
_SERVER = ROOT / "local" / "mail" / "server.js"
_PROGRAM = _SERVER.with_name("node_modules") / "aws-ses-v2-local"
_RUNNING_AT = re.compile(r"server running at http://[^\s]*:(\d+)")


class MailServer(Part):
    """Runs aws-ses-v2-local. Port 0 is a free one: after wait_ready(), `port` is the real one."""

    name = "mail"

    def __init__(
        self, port: int = 0, log: Path | None = None, *, own_name: str = "", store_dir: Path | None = None
    ) -> None:
        """`own_name` is a name of this machine other than localhost: its own pages may use it.

        The program keeps the mails in `store_dir`. Without it, they end with the program.
        """
        super().__init__(log or ROOT / ".local" / "logs" / "mail.log")
        self.port = port
        self._own_name = own_name
        self._store_dir = store_dir

    @property
    def url(self) -> str:
        """The address of the SES endpoint and the page of mails. `/store` answers the mails as JSON."""
        return f"http://{LOOPBACK}:{self.port}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        node = install.node_program(ROOT)
        if node is None or not _PROGRAM.exists():
            raise PartFailed(self.name, "is not installed: `make run` installs it", self.log)
        command: list[str | Path] = [node, *_SMALL, _SERVER, str(self.port), self._own_name, str(self._store_dir or "")]
        return spawn(Launch(command, self.log))

    def _probe(self) -> bool:
        running_at = _RUNNING_AT.search(self._output())
        if running_at is None:
            return False
        self.port = int(running_at[1])
        try:
            with urllib.request.urlopen(f"{self.url}/health-check", timeout=_PROBE_SECONDS) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
