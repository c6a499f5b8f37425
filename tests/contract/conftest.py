"""A whole system for the contract tests alone: what they delete, disable and fuzz is nobody else's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.parts.gateway import Gateway
from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer, free_port
from local.parts.process import ROOT
from tests.contract.callers import Caller, Operator
from tests.system import ADMIN_EMAIL, ADMIN_PASSWORD, System


@pytest.fixture(scope="session")
def contract_system(
    postgres: PostgresServer, mail_server: MailServer, environment: dict[str, str], parts_folder: Path
) -> Iterator[System]:
    """The system as `make run` configures it: unverified accounts may do everything, and anybody may register."""
    conninfo = postgres.create_database("contract")
    url = f"http://localhost:{(port := free_port())}"
    own = {
        "MG_USERS_DB_NAME": "contract",
        "MG_USERS_ADMIN_EMAIL": ADMIN_EMAIL,
        "MG_USERS_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "MG_USERS_REGISTRATIONS_PER_HOUR": "0",
        "MG_ALLOW_UNVERIFIED_USER": "true",
        "MG_PASSWORD_RESET_URL_PREFIX": f"{url}/password/reset",
        "MG_VERIFICATION_URL_PREFIX": f"{url}/verify-email",
        # One operation at a time is called: few environments are enough, and idle ones shall not pile up.
        "MG_LOCAL_WORKERS": "1",
        "MG_LOCAL_IDLE_SECONDS": "5",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    log = parts_folder / "contract-gateway.log"
    gateway = Gateway(http_port=port, environment=inherited | environment | own, log=log)
    gateway.invoke("BootstrapFunction", ROOT / "events" / "bootstrap.json", parts_folder / "contract-bootstrap.log")
    with gateway:
        yield System(url, mail_server.url, conninfo)


@pytest.fixture(scope="session")
def callers(contract_system: System) -> tuple[Caller, Caller]:
    """An ordinary user and an administrator."""
    token = contract_system.admin_token()
    operator = Operator(contract_system.call("GET", "/users/profile", token=token).json()["id"], token)
    return Caller(contract_system, operator, "user"), Caller(contract_system, operator, "admin")
