"""S43: caches do not store answers with tokens, and browsers sniff no answer."""

import pytest

from tests.people import refresh
from tests.service import PASSWORD, Service, registration


def test_s43_token_answers_are_not_stored(service: Service) -> None:
    user = service.register()
    answer = service.call("issue_token", {"identity": user["email"], "secret": PASSWORD})
    assert answer.headers["Cache-Control"] == "no-store"
    answer = refresh(service, answer.json["refresh_token"])
    assert answer.status == 201
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "operation", ["health", "register_user", "issue_token", "view_profile", "list_users", "request_password_reset"]
)
def test_s43_nosniff_on_errors(service: Service, operation: str) -> None:
    answer = service.call(operation, raw="{")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Type"] in {"application/json", "application/health+json"}


def test_s43_nosniff_on_successes(service: Service) -> None:
    _, token = service.administrator()
    body = registration()
    for answer in (
        service.call("register_user", body),
        service.call("issue_token", {"identity": body["email"], "secret": PASSWORD}),
        service.call("view_profile", token=token),
        service.call("list_users", token=token, query="limit=1"),
        service.call("request_password_reset", {"email": body["email"]}),
    ):
        assert answer.status in {200, 201}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"] == "application/json"
