"""S26 HEAD, and GET without application/json in Content-Type or Accept, change nothing in the database."""

import pytest

from tests.people import Person, mail_token, person
from tests.service import Service

BROWSERS = {
    "none": {},
    "browser": {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
    "lookalike": {"accept": "text/html;a=application/json,application/json-seq", "content-type": "application/jsonp"},
    "scanner": {"accept": "*/*", "content-type": "text/plain", "purpose": "prefetch"},
}


def everything(service: Service, who: Person) -> list[list[dict[str, object]]]:
    """Return all rows that belong to the account."""
    tables = {"users": "id", "users_one_time_tokens": "user_id", "users_outbox": "user_id", "users_throttle": "user_id"}
    return [service.execute(f"SELECT * FROM {table} WHERE {key} = %s", who.id) for table, key in tables.items()]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("client", BROWSERS)
@pytest.mark.parametrize(
    ("operation", "purpose"), [("verify_email", "verification"), ("reset_password", "password_reset")]
)
def test_s26_a_link_that_is_followed(service: Service, method: str, client: str, operation: str, purpose: str) -> None:
    ada = person(service, verified=False)
    token = mail_token(service, ada, "verification" if purpose == "verification" else "password_reset")
    before = everything(service, ada)
    answer = service.call(operation, method=method, query=f"token={token}", headers=BROWSERS[client])
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert everything(service, ada) == before


def test_s26_a_program_that_opens_the_reset_page(service: Service) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    before = everything(service, ada)
    headers = {"accept": "application/json", "content-type": "application/json"}
    service.call("reset_password", method="GET", query=f"token={token}&password=x", headers=headers)
    assert everything(service, ada) == before
