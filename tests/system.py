"""The running system as its users see it: the API on one port, the mail page on another."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

from local.environment import template_parameters
from local.parts.gateway import Gateway
from local.parts.launch import ROOT
from local.serving.sockets import free_port
from tests.deliveries import Mail, mails_to
from tests.local.processes import eventually
from tests.service import PASSWORD, registration

ADMIN_EMAIL = "admin@example.com"
ADMIN_PASSWORD = "an operator chose this"


@dataclass(frozen=True)
class System:
    """A gateway over template.yaml on a new bootstrapped database, with real Auth, events and mail."""

    url: str
    mail_url: str
    conninfo: str
    lambda_url: str = ""

    def call(self, method: str, path: str, body: Any = None, *, token: str = "", **headers: str) -> httpx.Response:
        """Send one request of a program, with the body as JSON."""
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, self.url + path, json=body, headers=sent | headers, timeout=30, trust_env=False)

    def register(self, **changes: Any) -> dict[str, Any]:
        """Register an account with a unique name. Return the user of the answer, with ``secret``."""
        body = registration(**changes)
        answer = self.call("POST", "/users", body)
        assert answer.status_code == 201, answer.text
        return {**answer.json(), "secret": body["credentials"]["secret"]}

    def log_in(self, identity: str, secret: str = PASSWORD) -> httpx.Response:
        return self.call("POST", "/users/tokens/issue", {"identity": identity, "secret": secret})

    def token(self, identity: str, secret: str = PASSWORD) -> str:
        """Return an access token."""
        answer = self.log_in(identity, secret)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["access_token"]
        return token

    def admin_token(self) -> str:
        return self.token(ADMIN_EMAIL, ADMIN_PASSWORD)

    def mail(self, address: str, subject: str, count: int = 1) -> Mail:
        """Wait for ``count`` mails with this subject. Return the newest one."""
        found: list[Mail] = []

        def arrived() -> bool:
            found[:] = [mail for mail in mails_to(self.mail_url, address) if mail.subject == subject]
            return len(found) >= count

        eventually(arrived, seconds=30)
        return found[-1]

    def execute(self, statement: str, *parameters: Any) -> None:
        """Run SQL beside the service."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            connection.execute(statement, parameters)


@contextmanager
def running_system(
    database: str, conninfo: str, mail_url: str, environment: dict[str, str], folder: Path
) -> Iterator[System]:
    """Bootstrap an empty database and serve it on a free port.

    ``environment`` contains the addresses of the other parts.
    """
    url = f"http://localhost:{(port := free_port())}"
    own = {
        "MG_LOCAL_PARAMETERS": template_parameters({}),
        "MG_USERS_DB_NAME": database,
        "MG_USERS_ADMIN_EMAIL": ADMIN_EMAIL,
        "MG_USERS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "MG_USERS_REGISTRATIONS_PER_HOUR": "0",
        "MG_PASSWORD_RESET_URL_PREFIX": f"{url}/password/reset",
        "MG_VERIFICATION_URL_PREFIX": f"{url}/verify-email",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    log = folder / f"{database}-gateway.log"
    gateway = Gateway(http_port=port, environment=inherited | environment | own, log=log)
    gateway.invoke("BootstrapFunction", ROOT / "events" / "bootstrap.json", folder / f"{database}-bootstrap.log")
    with gateway:
        yield System(url, mail_url, conninfo, f"http://127.0.0.1:{gateway.lambda_port}")
