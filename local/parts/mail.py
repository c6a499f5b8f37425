"""The SES endpoint with its mail page (local/mail/server.js): what the service mails can be read at `url`."""

import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from local import install
from local.parts.process import ROOT, Launch, Part, PartFailed, spawn

_HOST = "127.0.0.1"
_PROBE_SECONDS = 1.0
# It has little to do: less memory is worth more than speed.
_SMALL = ("--optimize-for-size", "--max-semi-space-size=1", "--v8-pool-size=1")
_SERVER = ROOT / "local" / "mail" / "server.js"
_PROGRAM = _SERVER.with_name("node_modules") / "aws-ses-v2-local"
_RUNNING_AT = re.compile(r"server running at http://[^\s]*:(\d+)")


class MailServer(Part):
    """aws-ses-v2-local, its mails in `store_dir`; port 0 is a free one, told by `port` after wait_ready()."""

    name = "mail"

    def __init__(
        self, port: int = 0, log: Path | None = None, *, own_name: str = "", store_dir: Path | None = None
    ) -> None:
        """`own_name` is a name of this machine beside localhost, by which pages of its own may ask too.

        Without `store_dir` the mails are in memory alone, and gone with the program.
        """
        super().__init__(log or ROOT / ".local" / "logs" / "mail.log")
        self.port = port
        self._own_name = own_name
        self._store_dir = store_dir

    @property
    def url(self) -> str:
        """The SES endpoint, and the page to read the mails; `/store` gives them as JSON."""
        return f"http://{_HOST}:{self.port}"

    def _spawn(self) -> subprocess.Popen[bytes]:
        node = install.node_program(ROOT)
        if node is None or not _PROGRAM.exists():
            raise PartFailed(self.name, "is not installed: run `make install`", self.log)
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
