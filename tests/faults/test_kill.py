"""kill -9 of the whole local system during registrations."""

import concurrent.futures
import contextlib
import os
import signal
import threading
from pathlib import Path

import httpx
import pytest

from tests.local.processes import eventually, processes_of
from tests.local.test_supervisor import running
from tests.service import registration

pytestmark = pytest.mark.long


def test_what_was_answered_201_is_there_afterwards(place: Path) -> None:
    registered: list[str] = []
    enough = threading.Event()

    def register(url: str) -> None:
        """Register one account after the other until the system is gone."""
        with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False, timeout=30) as client:
            while True:
                body = registration()
                if client.post(f"{url}/users", json=body).status_code == 201:
                    registered.append(body["email"])
                if len(registered) >= 20:
                    enough.set()

    limits = {"MG_USERS_REGISTRATIONS_PER_HOUR": "0"}
    with concurrent.futures.ThreadPoolExecutor(4) as clients, running(place, **limits) as run:
        run.read_until("Ctrl-C stops everything")
        for _ in range(4):
            clients.submit(register, run.api)
        assert enough.wait(60)
        for pid in processes_of(place):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes_of(place))

    with running(place, **limits) as run, httpx.Client(base_url="", trust_env=False, timeout=30) as client:
        run.read_until("Ctrl-C stops everything")
        for email in registered:
            login = {"identity": email, "secret": registration()["credentials"]["secret"]}
            answer = client.post(f"{run.api}/users/tokens/issue", json=login)
            assert answer.status_code == 201, (email, answer.text)
