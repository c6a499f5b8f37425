"""Parts of the running system go away and return: the API answers 503 with Retry-After meanwhile, and loses nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from nats.js.errors import NotFoundError

from local.parts.auth import AuthServer
from local.parts.gateway import Gateway
from local.parts.launch import ROOT
from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer, temporary_postgres
from tests.conftest import AWS, SECRET_KEY, database_variables
from tests.deliveries import events, mails_to
from tests.local.processes import eventually
from tests.system import System

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Outages:
    """A system whose parts a test may stop."""

    system: System
    postgres: PostgresServer
    auth: AuthServer
    nats: NatsServer
    mail: MailServer
    gateway: Gateway

    def deliver(self) -> None:
        """Run the delivery, as the schedule does each minute."""
        url = f"http://127.0.0.1:{self.gateway.lambda_port}/2015-03-31/functions/DeliverOutboxFunction/invocations"
        answer = httpx.post(url, json={}, timeout=60, trust_env=False)
        assert answer.status_code == 200
        assert "x-amz-function-error" not in answer.headers, answer.text

    def events_of(self, user_id: str) -> list[str]:
        """Deliver, and return the user's events.

        A relay that the request woke may still hold some events: ask again in that case.
        """
        self.deliver()
        try:
            found = events(self.nats.url)
        except NotFoundError:  # no stream exists before the first delivery
            return []
        return [event.payload["operation"] for event in found if event.payload.get("id") == user_id]

    def mails_of(self, address: str) -> list[str]:
        self.deliver()
        return [mail.subject for mail in mails_to(self.mail.url, address)]


@pytest.fixture(scope="module")
def outages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    place: Path = tmp_path_factory.mktemp("outages")
    with (
        temporary_postgres() as postgres,
        AuthServer(postgres.create_database("auth"), place / "keys") as auth,
        NatsServer(place / "nats") as nats,
        MailServer(log=place / "mail.log") as mail,
    ):
        conninfo = postgres.create_database("users")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
        environment = {
            **inherited,
            **AWS,
            **database_variables(postgres, "users"),
            "MG_AUTH_GRPC_URL": auth.grpc_url,
            "MG_AUTH_JWKS_URL": auth.jwks_url,
            "MG_SPICEDB_HOST": "127.0.0.1",
            "MG_SPICEDB_PORT": str(auth.ports.spicedb),
            "MG_USERS_ES_URL": nats.url,
            "AWS_ENDPOINT_URL_SESV2": mail.url,
            "MG_EMAIL_FROM_ADDRESS": "users@example.com",
            "MG_USERS_SECRET_KEY": SECRET_KEY,
            "MG_LOCAL_SCHEDULES": "off",
        }
        gateway = Gateway(environment=environment, log=place / "gateway.log")
        gateway.invoke("BootstrapFunction", ROOT / "events" / "bootstrap.json", place / "bootstrap.log")
        with gateway:
            system = System(f"http://localhost:{gateway.http_port}", mail.url, conninfo)
            yield Outages(system, postgres, auth, nats, mail, gateway)


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"] == "service_unavailable"


def test_nats_away_loses_no_event(outages: Outages) -> None:
    outages.nats.stop()
    user = outages.system.register()
    outages.deliver()
    outages.nats.start()
    outages.nats.wait_ready()
    eventually(lambda: outages.events_of(user["id"]) == ["user.create"])


def test_ses_away_loses_no_mail(outages: Outages) -> None:
    user = outages.system.register()
    outages.mail.stop()
    answer = outages.system.call("POST", "/password/reset-request", {"email": user["email"]})
    assert answer.status_code == 201
    outages.deliver()
    outages.mail.start()
    outages.mail.wait_ready()
    eventually(lambda: "Password Reset Request" in outages.mails_of(user["email"]))


def test_database_away_answers_503_and_goes_on_afterwards(outages: Outages) -> None:
    user = outages.system.register()
    token = outages.system.token(user["email"])
    outages.postgres.stop()
    refused(outages.system.call("GET", "/users/profile", token=token))
    refused(outages.system.call("POST", "/password/reset-request", {"email": user["email"]}))
    refused(outages.system.log_in(user["email"]))
    outages.postgres.start()
    outages.postgres.wait_ready()
    assert outages.system.call("GET", "/users/profile", token=token).status_code == 200
    eventually(lambda: outages.system.log_in(user["email"]).status_code == 201)


def test_auth_away_stops_logins_but_neither_sessions_nor_registrations(outages: Outages) -> None:
    user = outages.system.register()
    token = outages.system.token(user["email"])
    assert outages.system.call("GET", "/users/profile", token=token).status_code == 200  # the keys are cached now
    outages.auth.stop()
    for _ in range(7):  # more often than a limit on failed logins allows
        refused(outages.system.log_in(user["email"]))
    assert outages.system.call("GET", "/users/profile", token=token).status_code == 200
    newcomer = outages.system.register()
    outages.auth.start()
    outages.auth.wait_ready()
    eventually(lambda: outages.system.log_in(newcomer["email"]).status_code == 201)
    assert outages.system.log_in(user["email"]).status_code == 201
