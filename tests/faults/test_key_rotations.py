"""Auth rotates its keys under the whole system: many warm processes, each with its own key set."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.parts.auth import AuthServer
from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer
from tests.system import System, running_system

pytestmark = pytest.mark.long

CLIENTS = 8


@pytest.fixture
def rotating(
    postgres: PostgresServer,
    mail_server: MailServer,
    environment: dict[str, str],
    make_auth: Callable[..., AuthServer],
    tmp_path: Path,
) -> Iterator[tuple[System, str]]:
    """Yield a system, and the address that makes its Auth rotate the keys."""
    auth = make_auth(AUTH_FAULTS="1")
    own = {
        "MG_AUTH_GRPC_URL": auth.grpc_url,
        "MG_AUTH_JWKS_URL": auth.jwks_url,
        "MG_SPICEDB_PORT": str(auth.ports.spicedb),
    }
    name = f"rotating_{uuid.uuid4().hex}"
    with running_system(name, postgres.create_database(name), mail_server.url, environment | own, tmp_path) as system:
        yield system, f"http://127.0.0.1:{auth.ports.http}/rotations"


def rotate(address: str, order: dict[str, Any]) -> None:
    httpx.post(address, json=order, trust_env=False).raise_for_status()


def test_no_token_is_refused_while_a_key_of_another_id_comes(rotating: tuple[System, str]) -> None:
    system, address = rotating
    user = system.register()

    def use(number: int) -> int:
        """Log in and use the token, with the rotation in between."""
        if number == CLIENTS * 2:
            rotate(address, {"kid": "next"})
        token = system.token(user["email"], user["secret"])
        return system.call("GET", "/users/profile", token=token).status_code

    with ThreadPoolExecutor(CLIENTS) as clients:
        assert set(clients.map(use, range(CLIENTS * 4))) == {200}


def test_no_token_is_refused_after_a_key_of_the_same_id_came(rotating: tuple[System, str]) -> None:
    """Auth and the service refuse tokens of the old key. Every process accepts tokens of the new key."""
    system, address = rotating
    user = system.register()
    with ThreadPoolExecutor(CLIENTS) as clients:
        for _ in ("warming all processes", "the new key"):
            token = system.token(user["email"], user["secret"])
            answers = clients.map(lambda token: system.call("GET", "/users/profile", token=token), [token] * 32)
            assert {answer.status_code for answer in answers} == {200}
            rotate(address, {})
