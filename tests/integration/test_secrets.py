"""Secrets of Secrets Manager (moto's, over HTTP), and a password of PostgreSQL that is rotated under the service."""

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
from psycopg import sql

from local.parts.postgres import PostgresServer, temporary_postgres
from local.serving.sockets import free_port
from tests.aws_server import AwsServer
from tests.http_server import http_server
from tests.sql import run
from users.aws import secrets
from users.errors import Unavailable
from users.repository import database
from users.settings import WrongSettings, settings

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:x-AbCdEf"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsServer]:
    server = AwsServer(tmp_path_factory.mktemp("aws") / "log")
    server.start()
    server.wait_ready()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def password_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that asks for a password."""
    with temporary_postgres(port=0) as server:
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, aws: AwsServer) -> Iterator[pytest.MonkeyPatch]:
    for name, value in {
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "t",
        "AWS_SECRET_ACCESS_KEY": "t",
        "AWS_ENDPOINT_URL_SECRETS_MANAGER": aws.url,
    }.items():
        monkeypatch.setenv(name, value)
    secrets.forget()
    settings.cache_clear()
    yield monkeypatch
    secrets.forget()
    database.close()
    settings.cache_clear()


def made(aws: AwsServer, text: str) -> str:
    """The ARN of a new secret."""
    name = f"s{time.monotonic_ns()}"
    arn: str = aws.client("secretsmanager").create_secret(Name=name, SecretString=text)["ARN"]
    return arn


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    now = time.time() + seconds
    monkeypatch.setattr(secrets, "time", SimpleNamespace(time=lambda: now))


def test_without_an_arn_it_is_the_setting(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MG_USERS_DB_PASS", "plain")
    environment.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://127.0.0.1:1")
    assert secrets.secret(settings().db_pass) == "plain"
    assert not secrets.has_changed(settings().db_pass)


def test_the_text_of_a_secret_or_a_member_of_it(environment: pytest.MonkeyPatch, aws: AwsServer) -> None:
    environment.setenv("MG_USERS_SECRET_KEY_SECRET_ARN", made(aws, "the key"))
    managed = made(aws, json.dumps({"username": "magistrala", "password": 'p"ß'}))
    environment.setenv("MG_USERS_DB_PASS_SECRET_ARN", f"{managed}:password")
    assert secrets.secret(settings().secret_key) == "the key"
    assert secrets.secret(settings().db_pass) == 'p"ß'


def test_a_rotated_secret_is_taken_up_after_five_minutes(environment: pytest.MonkeyPatch, aws: AwsServer) -> None:
    arn = made(aws, "old")
    environment.setenv("MG_EMAIL_PASSWORD_SECRET_ARN", arn)
    assert secrets.secret(settings().email_password) == "old"
    aws.client("secretsmanager").put_secret_value(SecretId=arn, SecretString="new")
    later(environment, 299)
    assert secrets.secret(settings().email_password) == "old"
    later(environment, 301)
    assert secrets.secret(settings().email_password) == "new"


def test_what_was_read_outlives_secrets_manager(environment: pytest.MonkeyPatch, aws: AwsServer) -> None:
    environment.setenv("MG_EMAIL_PASSWORD_SECRET_ARN", made(aws, "kept"))
    assert secrets.secret(settings().email_password) == "kept"
    environment.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{free_port()}")
    later(environment, 301)
    assert secrets.secret(settings().email_password) == "kept"


@pytest.mark.parametrize("text", ["plain text", "[]", '{"username": "x"}'])
def test_a_member_that_is_not_there(environment: pytest.MonkeyPatch, aws: AwsServer, text: str) -> None:
    environment.setenv("MG_USERS_DB_PASS_SECRET_ARN", f"{made(aws, text)}:password")
    with pytest.raises(WrongSettings, match="MG_USERS_DB_PASS_SECRET_ARN") as raised:
        secrets.secret(settings().db_pass)
    assert text not in str(raised.value)


@pytest.mark.parametrize("reference", ["users/password", f"{ARN}:password:AWSCURRENT:"])
def test_what_is_no_arn(environment: pytest.MonkeyPatch, reference: str) -> None:
    environment.setenv("MG_USERS_DB_PASS_SECRET_ARN", reference)
    with pytest.raises(WrongSettings, match="MG_USERS_DB_PASS_SECRET_ARN"):
        secrets.secret(settings().db_pass)


def test_a_secret_that_cannot_be_had_is_a_dependency_away(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MG_USERS_DB_PASS_SECRET_ARN", ARN)  # moto has no such secret
    with pytest.raises(Unavailable) as raised:
        secrets.secret(settings().db_pass)
    assert raised.value.dependency == "secrets manager"
    assert "ResourceNotFoundException" in raised.value.reason


def test_a_server_that_fails_is_asked_twice(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MG_USERS_DB_PASS_SECRET_ARN", ARN)
    with http_server(status=503) as server:
        environment.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", server.url)
        with pytest.raises(Unavailable):
            secrets.secret(settings().db_pass)
        assert len(server.received) == 2


def test_a_password_that_is_rotated(
    environment: pytest.MonkeyPatch, aws: AwsServer, password_server: PostgresServer
) -> None:
    def rotate(password: str) -> None:
        with psycopg.connect(password_server.conninfo, autocommit=True) as connection:
            connection.execute(sql.SQL("ALTER ROLE rotated PASSWORD {}").format(sql.Literal(password)))

    password_server.ensure_role("rotated", "first")
    arn = made(aws, json.dumps({"username": "rotated", "password": "first"}))
    for name, value in {
        "HOST": "127.0.0.1",
        "PORT": str(password_server.port),
        "USER": "rotated",
        "NAME": "postgres",
        "SSL_MODE": "disable",
        "PASS_SECRET_ARN": f"{arn}:password",
    }.items():
        environment.setenv(f"MG_USERS_DB_{name}", value)
    assert run("SELECT 1 AS one", {}, read_only=True) == [{"one": 1}]

    rotate("second")
    aws.client("secretsmanager").put_secret_value(SecretId=arn, SecretString='{"password": "second"}')
    assert run("SELECT 2 AS two", {}, read_only=True) == [{"two": 2}]  # the connection that there is
    database.close()
    later(environment, 5)
    assert run("SELECT 3 AS three", {}, read_only=True) == [{"three": 3}]

    rotate("third")  # and Secrets Manager does not know yet
    database.close()
    later(environment, 10)
    with pytest.raises(Unavailable):
        run("SELECT 4 AS four", {}, read_only=True)
