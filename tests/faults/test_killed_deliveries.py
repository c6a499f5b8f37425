"""Kill the relay or NATS during the delivery of 10 000 events: all events arrive, in order for each account."""

import contextlib
import itertools
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from local.parts.launch import ROOT
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer, temporary_postgres
from tests.conftest import AS_OWNER, AWS, database_variables
from tests.deliveries import events

pytestmark = pytest.mark.long

EVENTS = 10_000
ACCOUNTS = 500

# Does the work of the schedule without its pauses. A killed relay's claim ends soon.
RELAY = """
import time
from background.delivery import relay
from background.delivery.event_stream import event_channel
from users.errors import Unavailable
relay.LEASE, relay._TURN = 4.0, 2.0
while True:
    try:
        relay.deliver_due({"event": event_channel}, lambda: True)
    except Unavailable:
        pass
    time.sleep(0.05)
"""


class Delivery:
    """A database with 10 000 events, a NATS server, and relays as processes."""

    def __init__(self, postgres: PostgresServer, conninfo: str, nats: NatsServer, environment: dict[str, str]) -> None:
        self.postgres = postgres
        self.nats = nats
        self._conninfo = conninfo
        self._environment = environment
        self._relays: list[subprocess.Popen[bytes]] = []

    def start_relay(self) -> None:
        self._relays.append(subprocess.Popen([sys.executable, "-c", RELAY], cwd=ROOT, env=self._environment))

    def kill_relays(self) -> None:
        for relay in self._relays:
            relay.kill()
            relay.wait()
        self._relays.clear()

    def left(self) -> int:
        """Return how many events are undelivered.

        While the database does not answer, return the number of all events.
        """
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self._conninfo) as connection:
            row = connection.execute("SELECT count(*) FROM users_outbox").fetchone()
            assert row is not None
            return int(row[0])
        return EVENTS

    def wait_for(self, least: int, seconds: float = 120) -> None:
        """Wait until at most this many events are undelivered."""
        deadline = time.monotonic() + seconds
        while self.left() > least:
            assert time.monotonic() < deadline, f"{self.left()} are left"
            time.sleep(0.01)


@pytest.fixture
def delivery(tmp_path: Path) -> Iterator[Delivery]:
    with temporary_postgres() as postgres, NatsServer(tmp_path / "nats") as nats:
        conninfo = postgres.create_database("users")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
        environment = {
            **inherited,
            **AWS,
            **database_variables(postgres, "users"),
            **AS_OWNER,
            "MG_USERS_ES_URL": nats.url,
            "PYTHONPATH": f"{ROOT}/layers/common/python:{ROOT}/layers/background/python",
        }
        code = "from background.setup.schema import migrate; migrate()"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True)
        with psycopg.connect(conninfo) as connection:
            connection.execute(
                "INSERT INTO users_outbox (id, user_id, channel, name, payload)"
                " SELECT gen_random_uuid(), 'u' || n %% %(accounts)s, 'event', 'user.update',"
                " jsonb_build_object('id', 'u' || n %% %(accounts)s, 'number', n)"
                " FROM generate_series(1, %(events)s) n",
                {"accounts": ACCOUNTS, "events": EVENTS},
            )
        found = Delivery(postgres, conninfo, nats, environment)
        yield found
        found.kill_relays()


def assert_all_arrived_in_order(delivery: Delivery) -> None:
    """Check that all events arrived, and that each account's events are in order once repetitions are left out."""
    first: dict[str, int] = {}
    for event in events(delivery.nats.url):
        first.setdefault(event.message_id, event.payload["number"])
    assert sorted(first.values()) == list(range(1, EVENTS + 1))
    of_account = defaultdict(list)
    for number in first.values():
        of_account[number % ACCOUNTS].append(number)
    assert len(of_account) == ACCOUNTS
    assert all(numbers == sorted(numbers) for numbers in of_account.values())


def kill_relay(delivery: Delivery) -> None:
    delivery.kill_relays()
    delivery.start_relay()


def kill_nats(delivery: Delivery) -> None:
    delivery.nats.kill()
    delivery.nats.start()
    delivery.nats.wait_ready()


def kill_postgres(delivery: Delivery) -> None:
    delivery.postgres.kill()
    delivery.postgres.start()
    delivery.postgres.wait_ready()


@pytest.mark.parametrize("relays", [1, 2])
@pytest.mark.parametrize("kill", [kill_relay, kill_nats, kill_postgres])
def test_killed_in_the_middle(delivery: Delivery, kill: Callable[[Delivery], None], relays: int) -> None:
    for _ in range(relays):
        delivery.start_relay()
    for share in (0.8, 0.5, 0.2):
        delivery.wait_for(int(EVENTS * share))
        kill(delivery)
    delivery.wait_for(0)
    assert_all_arrived_in_order(delivery)


def test_several_relays_killed_again_and_again(delivery: Delivery) -> None:
    """The kill comes at any moment: between a claim, a publication, its acknowledgement and its settlement."""
    for pause in itertools.cycle((0.05, 0.3, 0.15, 0.6, 0.4)):
        for _ in range(2):
            delivery.start_relay()
        time.sleep(1.0 + pause)  # a relay starts in about a second
        delivery.kill_relays()
        if delivery.left() < EVENTS / 4:
            break
    delivery.start_relay()
    delivery.wait_for(0)
    assert_all_arrived_in_order(delivery)
