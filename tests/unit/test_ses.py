"""The requests to SES."""

import json

import pytest

from background.mail.letter import Letter
from background.mail.ses import SesSender
from background.mail.templates import Mail
from tests.http_server import http_server
from users.settings import settings


@pytest.mark.parametrize(("given", "sent"), [("users-set", "users-set"), ("", None)])
def test_the_configuration_set(monkeypatch: pytest.MonkeyPatch, given: str, sent: str | None) -> None:
    """SES counts bounces by configuration set, and keeps its suppression list."""
    with http_server(body=b'{"MessageId": "1"}') as server:
        for name, value in {
            "AWS_REGION": "eu-central-1",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "t",
            "AWS_SECRET_ACCESS_KEY": "t",
            "AWS_ENDPOINT_URL_SESV2": server.url,
            "MG_EMAIL_FROM_ADDRESS": "users@example.com",
            "MG_USERS_SES_CONFIGURATION_SET": given,
        }.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        letter = Letter(
            id="1",
            address="person@example.com",
            mail=Mail(subject="Subject", text="Text", html="<p>Text</p>", language="en"),
        )
        assert SesSender().send(letter) == ""
        settings.cache_clear()
    assert json.loads(server.received[0].body).get("ConfigurationSetName") == sent
