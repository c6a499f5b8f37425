"""The source of the keys that sign a wake-up, with and without SnapStart."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.http_server import HttpServer, http_server
from users.aws.credentials import credentials, forget_credentials

KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}


def answer(expires_in: timedelta) -> bytes:
    end = datetime.now(UTC) + expires_in
    keys = {"AccessKeyId": "AKID", "SecretAccessKey": "secret", "Token": "token"}
    return json.dumps({**keys, "Expiration": f"{end:%Y-%m-%dT%H:%M:%SZ}"}).encode()


@pytest.fixture
def container(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """Yield the address of Lambda's credentials, as functions with SnapStart have it."""
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    with http_server(body=answer(timedelta(hours=1))) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/2021-04-23/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "of this environment")
        forget_credentials()
        yield server
    forget_credentials()


def test_they_are_variables_without_snapstart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", raising=False)
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert credentials() == KEYS


def test_they_are_asked_for_once_with_snapstart(container: HttpServer) -> None:
    assert credentials() == credentials() == KEYS
    (request,) = container.received
    assert (request.method, request.path) == ("GET", "/2021-04-23/credentials")
    assert request.headers["authorization"] == "of this environment"


def test_they_are_asked_for_again_before_they_end(container: HttpServer) -> None:
    container.body = answer(timedelta(minutes=4))
    credentials()
    credentials()
    assert len(container.received) == 2


def test_a_snapshot_holds_none(container: HttpServer) -> None:
    credentials()
    forget_credentials()
    credentials()
    assert len(container.received) == 2


@pytest.mark.parametrize(("status", "body"), [(500, b"{}"), (200, b"<html>"), (200, b"{}"), (200, b"[]")])
def test_what_is_no_answer_is_an_oserror(container: HttpServer, status: int, body: bytes) -> None:
    container.status, container.body = status, body
    with pytest.raises(OSError, match="credentials"):
        credentials()
