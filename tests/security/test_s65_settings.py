"""S65 A variable has bounds, and every one with a wrong value is named before anything starts, secrets never shown."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from background.setup.bootstrap import BootstrapFailed
from local.gateway.settings import read_settings
from local.parts.postgres import PostgresServer
from local.ports import read as read_ports
from local.serving.variables import SettingsUnusable
from tests.bootstrapping import bootstrap, empty_service
from tests.cli.command_line import CommandLine
from tests.local.test_supervisor import running
from tests.service import ROOT, Service
from users.parsers import LOG_LEVELS
from users.settings import Settings, WrongSettings

WRONG = [
    ("MG_USERS_DELETE_AFTER", "-1h", "must be a Go duration from 0s to 2562047h, such as 24h"),
    ("MG_USERS_DELETE_AFTER", "2562048h", "from 0s to 2562047h"),
    ("MG_USERS_DELETE_AFTER", "9" * 400 + "h", "from 0s to 2562047h"),
    ("MG_USERS_DELETE_AFTER", "٢٤h", "from 0s to 2562047h"),
    ("MG_USERS_DELETE_AFTER", "nan", "from 0s to 2562047h"),
    ("MG_USERS_PASS_MAX_AGE", "-1ns", "from 0s to 2562047h"),
    ("MG_USERS_DELETE_INTERVAL", "0s", "from 1ms to 2562047h"),
    ("MG_AUTH_GRPC_TIMEOUT", "0s", "from 1ms to 1m, such as 1s"),
    ("MG_AUTH_GRPC_TIMEOUT", "-5s", "from 1ms to 1m"),
    ("MG_DOMAINS_GRPC_TIMEOUT", "1h", "from 1ms to 1m"),
    ("MG_SPICEDB_TIMEOUT", "61s", "from 1ms to 1m"),
    ("MG_USERS_REGISTRATIONS_PER_HOUR", "ten", "must be a whole number from 0 to 1000000"),
    ("MG_USERS_REGISTRATIONS_PER_HOUR", "-1", "must be a whole number from 0 to 1000000"),
    ("MG_USERS_REGISTRATIONS_PER_HOUR", "9" * 5000, "must be a whole number from 0 to 1000000"),
    ("MG_USERS_REGISTRATIONS_PER_HOUR", "1_0", "must be a whole number from 0 to 1000000"),
    ("MG_USERS_DB_PORT", "0", "must be a port from 1 to 65535"),
    ("MG_USERS_DB_PORT", "postgres", "must be a port from 1 to 65535"),
    ("MG_SPICEDB_PORT", "65536", "must be a port from 1 to 65535"),
    ("MG_EMAIL_PORT", "²", "must be a port from 1 to 65535"),
    ("MG_USERS_GRPC_PORT", "-1", "must be a port from 1 to 65535"),
    ("MG_USERS_DB_SSL_MODE", "tls", "must be one of disable, allow, prefer, require, verify-ca, verify-full"),
    ("MG_USERS_LOG_LEVEL", "warning", "must be one of debug, info, warn, error"),
    ("MG_USERS_RESERVED_USERNAMES", "root support", "must be usernames with commas between them, or - for none"),
    ("MG_USERS_RESERVED_USERNAMES", "root;support", "must be usernames with commas between them, or - for none"),
    ("MG_USERS_ALLOW_SELF_REGISTER", "no", "must be true or false"),
    ("MG_PASSWORD_RESET_URL_PREFIX", "javascript:alert(1)", "must be a URL that starts with http:// or https://"),
    ("MG_VERIFICATION_URL_PREFIX", "/verify-email", "must be a URL that starts with http:// or https://"),
    ("MG_JAEGER_TRACE_RATIO", "nan", "must be a number from 0 to 1"),
    ("MG_JAEGER_TRACE_RATIO", "-0.5", "must be a number from 0 to 1"),
]
SEVERAL = {
    "MG_USERS_DELETE_AFTER": "-1h",
    "MG_USERS_DB_SSL_MODE": "verify",
    "MG_USERS_REGISTRATIONS_PER_HOUR": "ten",
}
CANARY = "canary-1f0c"


@pytest.fixture
def empty(postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    with empty_service(postgres, shared_service) as service:
        yield service


def named(text: str) -> list[str]:
    """The variables that a message names, one a line."""
    return re.findall(r"^(?:Error: )?(MG_\w+)[:=]", text, re.MULTILINE)


@pytest.mark.parametrize(("name", "value", "told"), WRONG, ids=[f"{name}={value[:12]!r}" for name, value, _ in WRONG])
def test_s65_a_wrong_value_is_named_with_what_it_may_be(name: str, value: str, told: str) -> None:
    with pytest.raises(WrongSettings) as raised:
        Settings({name: value})
    assert str(raised.value).startswith(f"{name}: ")
    assert told in str(raised.value)
    assert value not in str(raised.value).removeprefix(name)


@pytest.mark.parametrize(
    ("name", "value", "read"),
    [
        ("MG_USERS_DELETE_AFTER", "0s", 0.0),
        ("MG_USERS_DELETE_AFTER", "2562047h", 9223369200.0),
        ("MG_AUTH_GRPC_TIMEOUT", "1m", 60.0),
        ("MG_AUTH_GRPC_TIMEOUT", "1ms", 0.001),
        ("MG_USERS_REGISTRATIONS_PER_HOUR", "1000000", 1_000_000),
        ("MG_USERS_DB_PORT", "65535", 65535),
        ("MG_USERS_DB_SSL_MODE", "prefer", "prefer"),
        ("MG_PASSWORD_RESET_URL_PREFIX", "https://ui.example/#/reset?x=1", "https://ui.example/#/reset?x=1"),
    ],
)
def test_s65_the_ends_of_what_is_taken(name: str, value: str, read: object) -> None:
    field = next(variable.field for variable in Settings.variables() if variable.name == name)
    assert getattr(Settings({name: value}), field) == read


def test_s65_no_setting_takes_just_any_number() -> None:
    assert [variable.name for variable in Settings.variables() if variable.parse in (int, float)] == []


def test_s65_what_is_the_longest_is_a_moment_for_postgresql_and_python(service: Service) -> None:
    longest = Settings({"MG_USERS_DELETE_AFTER": "2562047h"}).delete_after
    assert datetime.now(UTC) + timedelta(seconds=longest) > datetime.now(UTC) - timedelta(seconds=longest)
    (row,) = service.execute("SELECT now() - make_interval(secs => %s) < now() AS past", longest)
    assert row["past"]
    with service.configured(MG_USERS_DELETE_AFTER="2562047h", MG_USERS_PASS_MAX_AGE="2562047h"):
        from background.removal.sweep import count_due

        assert count_due() | {"deleted": 0, "disabled": 0} == count_due()
        assert service.administrator()[1]


def test_s65_all_are_named_at_once_and_secrets_are_not_shown() -> None:
    secrets = {"MG_USERS_DB_PASS": CANARY, "MG_USERS_SECRET_KEY": CANARY, "MG_EMAIL_PASSWORD": CANARY}
    with pytest.raises(WrongSettings) as raised:
        Settings(SEVERAL | secrets)
    assert sorted(named(str(raised.value))) == sorted(SEVERAL)
    assert CANARY not in str(raised.value)


def test_s65_bootstrap_names_them_and_does_nothing(empty: Service) -> None:
    with empty.configured(**SEVERAL), pytest.raises(BootstrapFailed) as raised:
        bootstrap()
    assert sorted(named(str(raised.value))) == sorted(SEVERAL)
    with empty.configured(MG_USERS_SECRET_KEY="short", MG_USERS_PASS_REGEX="("), pytest.raises(BootstrapFailed) as both:
        bootstrap()
    assert sorted(named(str(both.value))) == ["MG_USERS_PASS_REGEX", "MG_USERS_SECRET_KEY"]
    assert empty.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


@pytest.mark.parametrize("command", [["bootstrap"], ["sweep", "--yes"], ["outbox", "list"], ["user", "enable", "ada"]])
def test_s65_the_command_line_names_them(service: Service, tmp_path: Path, command: list[str]) -> None:
    line = CommandLine.of(service, tmp_path, **SEVERAL, MG_EMAIL_PASSWORD=CANARY)
    run = line.run(*command)
    assert run.code == 2, run.err
    assert sorted(named(run.err)) == sorted(SEVERAL)
    assert CANARY not in run.err + run.out


def test_s65_make_run_names_those_of_every_part_and_starts_nothing(tmp_path: Path) -> None:
    wrong = SEVERAL | {
        "MG_USERS_LOG_LEVEL": "loud",
        "MG_USERS_HTTP_SERVER_IDLE_TIMEOUT": "-1s",
        "MG_LOCAL_SCHEDULES": "sometimes",
        "MG_USERS_PASS_REGEX": "(",
        "MG_USERS_SECRET_KEY": CANARY,
        "MG_AUTH_ACCESS_TOKEN_DURATION": "soon",
    }
    with running(tmp_path, **wrong, MG_USERS_DB_PASS="", MG_EMAIL_PASSWORD=CANARY) as run:
        assert run.wait() == 1
        assert sorted(named(run.output)) == sorted(wrong)
        assert run.output.endswith("Nothing was started.\n")
        assert "Traceback" not in run.output
        assert CANARY not in run.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MG_USERS_HTTP_PORT", "65536"),
        ("MG_USERS_HTTP_PORT", "²"),
        ("MG_LOCAL_LAMBDA_PORT", "-1"),
        ("MG_USERS_HTTP_SERVER_READ_HEADER_TIMEOUT", "0s"),
        ("MG_USERS_HTTP_SERVER_READ_TIMEOUT", "25h"),
        ("MG_USERS_HTTP_SERVER_MAX_HEADER_BYTES", "0"),
        ("MG_LOCAL_WORKERS", "9999999999"),
        ("MG_LOCAL_IDLE_SECONDS", "-5"),
        ("MG_LOCAL_SCHEDULES", "true"),
        ("MG_LOCAL_PARAMETERS", "[]"),
        ("RUNTIME", "docker"),
    ],
)
def test_s65_the_gateway_has_bounds_too(name: str, value: str) -> None:
    with pytest.raises(SettingsUnusable, match=f"^{name}"):
        read_settings({name: value})
    with pytest.raises(SettingsUnusable) as raised:
        read_settings({name: value, "MG_LOCAL_RIE": "", "MG_USERS_LOG_LEVEL": "loud"})
    assert len(str(raised.value).splitlines()) == 2


def test_s65_all_ports_are_named_at_once() -> None:
    with pytest.raises(SettingsUnusable) as raised:
        read_ports({"MG_LOCAL_NATS_PORT": "x", "MG_LOCAL_MAIL_PORT": "70000"})
    assert named(str(raised.value)) == ["MG_LOCAL_NATS_PORT", "MG_LOCAL_MAIL_PORT"]


LOGGED = {"debug": 4, "info": 3, "warn": 2, "error": 1}


@pytest.mark.parametrize("level", [*LOGGED, "", "loud"])
def test_s65_the_log_level_is_the_one_that_is_set(level: str) -> None:
    """Where the value is wrong, a function logs as by default, so that it can tell so."""
    assert LOG_LEVELS.keys() == LOGGED.keys()
    program = (
        "from users.telemetry.log import logger\n"
        "for write in (logger.debug, logger.info, logger.warning, logger.error): write('line')"
    )
    variables = {
        "MG_USERS_LOG_LEVEL": level,
        "PYTHONPATH": str(ROOT / "layers/common/python"),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    lines = [json.loads(line)["level"] for line in done.stdout.splitlines()]
    assert lines == ["DEBUG", "INFO", "WARNING", "ERROR"][-LOGGED.get(level, 3) :]
