"""`make run` removes due accounts by itself, every MG_USERS_DELETE_INTERVAL."""

import re
from pathlib import Path

import httpx
import pytest

from tests.deliveries import mails_to
from tests.local.processes import eventually
from tests.local.test_supervisor import running
from tests.service import PASSWORD, registration

pytestmark = pytest.mark.long


def subjects(mail_page: str, address: str) -> list[str]:
    return [mail.subject for mail in mails_to(mail_page, address)]


def test_a_deleted_account_is_warned_and_then_gone(place: Path) -> None:
    body = registration()
    removals = {"MG_USERS_DELETE_INTERVAL": "1s", "MG_USERS_DELETE_AFTER": "10s"}
    unlimited = {"MG_USERS_REGISTRATIONS_PER_HOUR": "0"}  # a fast machine registers more often than the limit allows
    with (
        running(place, **removals, **unlimited) as run,
        httpx.Client(trust_env=False, timeout=30) as client,
    ):
        run.read_until("Ctrl-C stops everything")
        user = client.post(f"{run.api}/users", json=body).json()
        login = {"identity": body["email"], "secret": PASSWORD}
        token = client.post(f"{run.api}/users/tokens/issue", json=login).json()["access_token"]
        deleted = client.delete(f"{run.api}/users/{user['id']}", headers={"Authorization": f"Bearer {token}"})
        assert deleted.status_code == 204
        assert client.post(f"{run.api}/users", json=body).status_code == 409
        page = re.search(r"Mail page +(http\S+)", run.output)
        assert page
        eventually(lambda: "Your account will be removed" in subjects(page[1], body["email"]), seconds=30)
        eventually(lambda: client.post(f"{run.api}/users", json=body).status_code == 201, seconds=30)
