"""A whole system for the contract tests alone, because they delete, disable and fuzz its accounts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer
from tests.contract.callers import Caller, Operator
from tests.system import System, running_system


@pytest.fixture(scope="session")
def contract_system(
    postgres: PostgresServer, mail_server: MailServer, environment: dict[str, str], parts_folder: Path
) -> Iterator[System]:
    """Yield a system as `make run` configures it: unverified accounts may do everything, and anybody may register."""
    conninfo = postgres.create_database("contract")
    own = {
        "MG_ALLOW_UNVERIFIED_USER": "true",
        # The tests call one operation at a time. Few environments are enough, and idle ones must not pile up.
        "MG_LOCAL_WORKERS": "1",
        "MG_LOCAL_IDLE_SECONDS": "5",
    }
    with running_system("contract", conninfo, mail_server.url, environment | own, parts_folder) as started:
        yield started


@pytest.fixture(scope="session")
def callers(contract_system: System) -> tuple[Caller, Caller]:
    """Yield an ordinary user and an administrator."""
    token = contract_system.admin_token()
    operator = Operator(contract_system.call("GET", "/users/profile", token=token).json()["id"], token)
    return Caller(contract_system, operator, "user"), Caller(contract_system, operator, "admin")
