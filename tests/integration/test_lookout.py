"""The relay is woken no more often than necessary, and often enough that no change waits for the schedule."""

import itertools
import json
import os
import queue
import random
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from background.delivery import lookout
from background.delivery.lookout import Lookout
from background.delivery.ports import DestinationUnavailable, Outcome, Row
from background.delivery.relay import deliver_due
from local.parts.launch import ROOT
from tests.http_server import http_server
from tests.service import Service, eventually
from users.repository.outbox import must_wake
from users.steps import wake

PYTHON_PATH = f"{ROOT}/layers/common/python:{ROOT}/layers/background/python"


@pytest.fixture(autouse=True)
def nobody_is_expected(emptied_service: Service) -> None:
    emptied_service.execute("UPDATE users_relay SET run_id = NULL, looks_until = '-infinity'")


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make promises last long enough for a machine that is busy with other tests."""
    monkeypatch.setattr(lookout, "_FIRST", 0.5)
    monkeypatch.setattr(lookout, "_RENEWED", 1.0)
    monkeypatch.setattr(lookout, "_RENEWED_BELOW", timedelta(seconds=0.7))


def always() -> bool:
    return True


def put(service: Service, name: str, channel: str = "event") -> None:
    service.execute(
        "INSERT INTO users_outbox (id, user_id, channel, name, payload) VALUES (%s, %s, %s, %s, '{}')",
        *(str(uuid.uuid4()), str(uuid.uuid4()), channel, name),
    )


class Recorder:
    """A channel that records the names of its rows, and calls ``then`` before it settles a row."""

    batch = group = 50

    def __init__(self, then: Callable[[str], None] = lambda _: None) -> None:
        self.names: list[str] = []
        self._then = then

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        for row in rows:
            self.names.append(row.name)
            self._then(row.name)
            yield Outcome(row)

    def close(self) -> None:
        pass


def promise(service: Service) -> tuple[bool, float]:
    """Return whether a run has made the promise, and its remaining seconds."""
    (row,) = service.execute(
        "SELECT run_id IS NOT NULL AS of_run, extract(epoch FROM looks_until - clock_timestamp())::float8 AS left"
        " FROM users_relay"
    )
    return row["of_run"], row["left"]


# --- which change wakes the relay


def test_of_several_changes_one_wakes(emptied_service: Service) -> None:
    assert [must_wake() for _ in range(3)] == [True, False, False]
    emptied_service.execute("UPDATE users_relay SET looks_until = now()")  # the run did not begin in time
    assert [must_wake() for _ in range(3)] == [True, False, False]


def test_a_change_does_not_queue_for_the_row(emptied_service: Service) -> None:
    """The holder of the row is about to wake a run or to look."""
    with psycopg.connect(emptied_service.conninfo) as other:
        other.execute("SELECT FROM users_relay FOR UPDATE")
        other.execute("SELECT set_config('lock_timeout', '1s', false)")
        assert not must_wake()


def test_a_change_that_reads_a_promise_writes_nothing(emptied_service: Service) -> None:
    must_wake()
    (before,) = emptied_service.execute("SELECT xmin, ctid::text FROM users_relay")
    assert not must_wake()
    assert emptied_service.execute("SELECT xmin, ctid::text FROM users_relay") == [before]


@pytest.mark.parametrize("run", [None, "11111111-1111-4111-8111-111111111111"])
def test_a_promise_of_a_clock_that_was_wrong_is_none(emptied_service: Service, run: str | None) -> None:
    """Otherwise no change would wake a run until that time."""
    emptied_service.execute("UPDATE users_relay SET run_id = %s, looks_until = now() + interval '1 day'", run)
    assert [must_wake() for _ in range(2)] == [True, False]


def test_every_change_wakes_where_the_row_is_missing(emptied_service: Service) -> None:
    """A restored database may lack the row. Without a wake-up, each event would wait for the schedule."""
    emptied_service.execute("DELETE FROM users_relay")
    try:
        assert [must_wake() for _ in range(2)] == [True, True]
        put(emptied_service, "a")
        assert deliver_due({"event": Recorder}, always, always)["delivered"] == 1
    finally:
        emptied_service.execute("INSERT INTO users_relay DEFAULT VALUES")


def test_a_change_succeeds_and_wakes_where_its_role_may_not_see_the_row(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server(status=202) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", api.url)
        monkeypatch.setenv("OUTBOX_FUNCTION", "x")
        emptied_service.execute("REVOKE ALL ON users_relay FROM users_functions")
        try:
            wake.wake_delivery()
        finally:
            emptied_service.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON users_relay TO users_functions")
            wake.close()
        assert len(api.received) == 1


def test_a_wake_up_that_lambda_does_not_take_keeps_nobody_from_waking(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with http_server(status=429) as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", api.url)
        monkeypatch.setenv("OUTBOX_FUNCTION", "x")
        wake.wake_delivery()
        api.status = 202
        wake.wake_delivery()
        wake.wake_delivery()
        wake.close()
        assert len(api.received) == 2


# --- a run and its promise


@pytest.mark.usefixtures("unhurried")
def test_a_change_during_a_delivery_is_delivered_by_the_same_run_and_wakes_nobody(emptied_service: Service) -> None:
    woken: list[bool] = []

    def change(name: str) -> None:
        if name in "abc":
            put(emptied_service, chr(ord(name) + 1))
            woken.append(must_wake())

    put(emptied_service, "a")
    assert must_wake()
    channel = Recorder(change)
    assert deliver_due({"event": lambda: channel}, always, always)["delivered"] == 4
    assert channel.names == ["a", "b", "c", "d"]
    assert woken == [False, False, False]
    assert must_wake(), "no run looks for changes any more"


@pytest.mark.usefixtures("unhurried")
def test_a_change_after_the_last_delivery_is_seen_while_the_promise_stands(
    emptied_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change comes while the run waits, and wakes no other run."""
    waits: list[float] = []

    def change_instead_of_waiting(seconds: float) -> None:
        if not waits:
            put(emptied_service, "late")
            assert not must_wake()
        waits.append(seconds)

    monkeypatch.setattr(lookout.time, "sleep", change_instead_of_waiting)
    put(emptied_service, "a")
    must_wake()
    channel = Recorder()
    deliver_due({"event": lambda: channel}, always, always)
    assert channel.names == ["a", "late"]


def test_the_look_that_was_promised_comes_at_the_end_of_the_promise(emptied_service: Service) -> None:
    """A change may read the promise just before the end. The last look is later, so it finds that change."""
    must_wake()
    put(emptied_service, "a")
    watch = Lookout(always)
    assert watch.look(["event"]) == ["event"]
    (row,) = emptied_service.execute("SELECT looks_until FROM users_relay")
    emptied_service.execute("DELETE FROM users_outbox")
    while watch.wait():
        watch.look(["event"])
    assert watch._at is not None
    assert watch._at >= row["looks_until"]


def test_a_wake_up_that_finds_nothing_is_answered_by_another_look(emptied_service: Service) -> None:
    """A change may read the wake-up while the first look begins. The second look finds that change."""
    must_wake()
    watch = Lookout(always)
    assert watch.look(["event"]) == []
    put(emptied_service, "a")
    assert watch.wait()
    assert watch.look(["event"]) == ["event"]
    assert not watch.wait()


def test_a_run_that_nobody_woke_promises_nothing_and_writes_nothing(emptied_service: Service) -> None:
    """An idle system writes nothing each minute, and a run of the schedule never waits."""
    (before,) = emptied_service.execute("SELECT xmin, ctid::text FROM users_relay")
    deliver_due({"event": Recorder}, always, always)
    put(emptied_service, "a")
    assert deliver_due({"event": Recorder}, always, always)["delivered"] == 1
    assert emptied_service.execute("SELECT xmin, ctid::text FROM users_relay") == [before]


@pytest.mark.usefixtures("unhurried")
def test_a_promise_is_renewed_only_while_changes_come(emptied_service: Service) -> None:
    stood: list[float] = []

    def change(name: str) -> None:
        stood.append(promise(emptied_service)[1])
        if name != "d":
            put(emptied_service, chr(ord(name) + 1))

    put(emptied_service, "a")
    must_wake()
    deliver_due({"event": lambda: Recorder(change)}, always, always)
    first, *renewed = stood
    assert first <= lookout._FIRST
    assert lookout._FIRST < max(renewed) <= lookout._RENEWED
    assert promise(emptied_service)[1] <= 0, "the run kept its promise to the end"


@pytest.mark.usefixtures("unhurried")
def test_two_runs_do_not_both_wait(emptied_service: Service) -> None:
    must_wake()
    put(emptied_service, "a")
    first, second = Lookout(always), Lookout(always)
    first.look(["event"])
    second.look(["event"])
    assert first.wait()
    assert not second.wait()


def test_no_mail_is_sent_while_events_count_on_the_run(emptied_service: Service) -> None:
    """A mail server may take seconds, and an event whose change has read the promise would wait for it."""
    stood: list[float] = []
    put(emptied_service, "a")
    must_wake()

    def write_mail(_: str) -> None:
        put(emptied_service, "mail", "mail")

    mails = Recorder(lambda _: stood.append(promise(emptied_service)[1]))
    counts = deliver_due({"event": lambda: Recorder(write_mail), "mail": lambda: mails}, always, always)
    assert counts["delivered"] == 2
    assert stood[0] <= 0


def test_a_woken_run_with_mails_clears_the_way_for_another(emptied_service: Service) -> None:
    put(emptied_service, "event")
    put(emptied_service, "mail", "mail")
    must_wake()
    woken: list[bool] = []
    mails = Recorder(lambda _: woken.append(must_wake()))
    deliver_due({"event": Recorder, "mail": lambda: mails}, always, always)
    assert woken == [True], "while mails are sent, a change wakes a run for its event"


def test_a_destination_that_is_away_keeps_nobody_waiting(emptied_service: Service) -> None:
    class Away(Recorder):
        def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
            raise DestinationUnavailable(rows[0].name)

    put(emptied_service, "a")
    must_wake()
    assert deliver_due({"event": Away}, always, always)["unavailable"] == 1
    assert must_wake()


# --- processes


# A relay as on Lambda: each line on stdin starts a run. It prints each delivered row, then the counts of the run.
RELAY = """
import json, sys, time
from background.delivery.ports import Outcome
from background.delivery.relay import deliver_due

class Channel:
    batch = group = 50
    def deliver(self, rows):
        time.sleep(0.005)
        for row in rows:
            if row.name == "hang":
                time.sleep(600)
            print(json.dumps({"delivered": row.name}), flush=True)
            yield Outcome(row)
    def close(self):
        pass

for _ in sys.stdin:
    counts = deliver_due({"event": Channel}, lambda: True, lambda: True)
    print(json.dumps(counts), flush=True)
"""
# A function that commits and wakes the relay if necessary. Each line on stdin is a pause in seconds before one change.
CHANGER = """
import sys, time
from users.rules.outbox_records import Record
from users.repository.outbox import record
from users.steps.wake import wake_delivery

for number, line in enumerate(sys.stdin):
    time.sleep(float(line))
    record(f"{sys.argv[1]}-{number}", [Record(channel="event", name=f"{sys.argv[1]}-{number}", payload={})])
    wake_delivery()
    print(number, flush=True)
"""


class Relays:
    """One execution environment for each simultaneous wake-up, as Lambda has them."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.runs: list[dict[str, int]] = []
        self.delivered: list[str] = []
        self._environment = environment
        self._idle: queue.SimpleQueue[subprocess.Popen[str]] = queue.SimpleQueue()
        self._busy: list[threading.Thread] = []
        self.processes: list[subprocess.Popen[str]] = []

    def wake(self) -> None:
        """Start a run, and do not wait for it."""
        thread = threading.Thread(target=self._run)
        self._busy.append(thread)
        thread.start()

    def _run(self) -> None:
        try:
            process = self._idle.get_nowait()
        except queue.Empty:
            process = subprocess.Popen(
                [sys.executable, "-c", RELAY],
                env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            self.processes.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # the process was killed
            process.stdin.write("\n")
            process.stdin.flush()
        for line in process.stdout:
            printed: dict[str, Any] = json.loads(line)
            if isinstance(printed["delivered"], int):
                self.runs.append(printed)
                self._idle.put(process)
                return
            self.delivered.append(printed["delivered"])

    def wait(self) -> None:
        """Wait until all runs have ended."""
        for thread in self._busy:
            thread.join(60)
            assert not thread.is_alive()

    def lose_idle(self) -> None:
        """Make the next run start in a new environment."""
        while not self._idle.empty():
            self._idle.get_nowait()

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@contextmanager
def relays(service: Service) -> Iterator[tuple[Relays, dict[str, str]]]:
    """Yield relays, and the environment of the processes that wake them."""
    environment = {**os.environ, **service.environment, "PYTHONPATH": PYTHON_PATH}
    started = Relays(environment)
    with http_server(status=202) as api:
        api.before_answer = started.wake
        try:
            yield started, {**environment, "AWS_ENDPOINT_URL_LAMBDA": api.url, "OUTBOX_FUNCTION": "x"}
        finally:
            started.stop()


@pytest.mark.long
def test_no_change_is_lost_between_a_look_and_a_promise(emptied_service: Service) -> None:
    """Changes come around the ends of promises, without a schedule. Some run delivers each change."""
    chance, count = random.Random(4711), 4
    with relays(emptied_service) as (started, environment), ExitStack() as at_end:
        changers = [
            at_end.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", CHANGER, str(name)],
                    env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
            )
            for name in range(count)
        ]  # fmt: skip
        for number in range(60):
            for changer in changers:
                assert changer.stdin is not None
                print(chance.random() * 1.5 * lookout._FIRST, file=changer.stdin, flush=True)
            for changer in changers:
                assert changer.stdout is not None
                assert changer.stdout.readline() == f"{number}\n"
            started.wait()
            assert emptied_service.execute("SELECT name FROM users_outbox") == []
        assert len(started.delivered) == len(set(started.delivered)) == 60 * count
        assert len(started.runs) < 60 * count / 2


@pytest.fixture
def promised(emptied_service: Service) -> Iterator[tuple[Relays, Callable[[], None]]]:
    """Yield a relay whose run has promised to look again, and a change that wakes another run if necessary.

    The first run imports the modules, so that the next one begins at once.
    """
    numbers = itertools.count()
    with relays(emptied_service) as (started, environment):

        def change() -> None:
            name = f"change{next(numbers)}"
            changer = [sys.executable, "-c", CHANGER, name]
            subprocess.run(changer, env=environment, check=True, input="0\n", text=True, stdout=subprocess.DEVNULL)

        def has_promised() -> bool:
            if must_wake():
                started.wake()
            return promise(emptied_service)[0]

        started.wake()
        started.wait()
        put(emptied_service, "hang")
        eventually(has_promised)
        yield started, change


def test_a_relay_that_is_killed_with_a_promise_delays_events_by_no_more_than_it(
    emptied_service: Service, promised: tuple[Relays, Callable[[], None]]
) -> None:
    started, change = promised
    for process in started.processes:
        process.send_signal(signal.SIGKILL)
        process.wait()
    started.lose_idle()
    assert promise(emptied_service)[1] <= lookout._RENEWED
    put(emptied_service, "missed")  # its change may have read the promise and woken no run
    eventually(lambda: promise(emptied_service)[1] <= 0)
    change()
    eventually(lambda: {"missed", "change0-0"} <= set(started.delivered))


@pytest.mark.long
def test_a_relay_that_stands_still_is_not_waited_for(
    emptied_service: Service, promised: tuple[Relays, Callable[[], None]]
) -> None:
    started, change = promised
    for process in started.processes:
        process.send_signal(signal.SIGSTOP)
    started.lose_idle()
    eventually(lambda: promise(emptied_service)[1] <= 0)
    change()
    eventually(lambda: "change0-0" in started.delivered)
    for process in started.processes:
        process.send_signal(signal.SIGCONT)
    put(emptied_service, "later")
    change()
    eventually(lambda: "later" in started.delivered)
