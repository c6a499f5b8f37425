"""Variables: names, meanings and defaults (contract §8; decisions 4), Go durations and booleans."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users.parsers import boolean, go_duration, mail_address, secure_address
from users.settings import Settings, WrongSettings

DEFAULTS: dict[str, Any] = {
    "log_level": "info",
    "allow_self_register": True,
    "allow_unverified_user": False,
    "verify_on_register": True,
    "pass_regex": "^.{8,}$",
    "pass_common_check": True,
    "pass_max_age": 0.0,
    "rehash": True,
    "read_events": False,
    "admin_email": "admin@example.com",
    "admin_username": "admin",
    "admin_first_name": "super",
    "admin_last_name": "admin",
    "db_host": "localhost",
    "db_port": 5432,
    "db_user": "magistrala",
    "db_name": "users",
    "db_ssl_mode": "disable",
    "auth_grpc_timeout": 1.0,
    "spicedb_timeout": 1.0,
    "auth_keys_algorithm": "EdDSA",
    "auth_jwks_url": "http://auth:9001/keys/.well-known/jwks.json",
    "es_url": "nats://localhost:4222",
    "email_username": "",
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default(name: str) -> None:
    assert getattr(Settings({}), name) == DEFAULTS[name]


@pytest.mark.parametrize(("name", "default"), [("admin_password", "12345678"), ("db_pass", "magistrala")])
def test_the_default_of_a_secret(name: str, default: str) -> None:
    assert getattr(Settings({}), name).plain == default


def test_a_secret_is_not_shown_by_accident() -> None:
    read = Settings({"MG_USERS_DB_PASS": "canary"})
    assert "canary" not in f"{read!r} {read.db_pass} {read.db_pass!r}"
    assert [setting for setting in read.secrets() if setting.variable == "MG_USERS_DB_PASS"] == [read.db_pass]


@pytest.mark.parametrize("name", ["db_port", "db_pass"])
def test_settings_are_read_only(name: str) -> None:
    read = Settings({})
    before = getattr(read, name)
    with pytest.raises(AttributeError, match=f"^{name} is read-only$"):
        setattr(read, name, "other")
    assert getattr(read, name) is before


def test_an_empty_variable_counts_as_unset() -> None:
    read = Settings({"MG_USERS_DB_PORT": "", "MG_AUTH_GRPC_TIMEOUT": ""})
    assert (read.db_port, read.auth_grpc_timeout) == (5432, 1.0)


def test_the_event_store_has_a_second_name() -> None:
    assert Settings({"MG_ES_URL": "nats://a:1"}).es_url == "nats://a:1"
    both = {"MG_ES_URL": "nats://a:1", "MG_USERS_ES_URL": "nats://b:1"}
    assert Settings(both).es_url == "nats://b:1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MG_USERS_LOG_LEVEL", "verbose"),
        ("MG_USERS_ALLOW_SELF_REGISTER", "yes"),
        ("MG_AUTH_GRPC_TIMEOUT", "1"),
        ("MG_USERS_PASS_MAX_AGE", "90d"),
        ("MG_AUTH_KEYS_ALGORITHM", "RS256"),
    ],
)
def test_what_cannot_be_understood_names_its_variable(name: str, text: str) -> None:
    with pytest.raises(WrongSettings, match=f"^{name}: "):
        Settings({name: text})


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("1ns", 1e-9),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("1ms", 1e-3),
        ("1s", 1),
        ("1m", 60),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (".5s", 0.5),
        ("5.s", 5),
        ("1h1h", 7200),
        ("1m1ms", 60.001),
        ("-1m30s", -90),
        ("+24h", 86400),
        ("720h", 2_592_000),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert go_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", "1", "s", "1 s", "1d", "1h 30m", "1S", "--1s", "+", "-", ".s", "1e3s", "1,5s", "1s ", "00", "1h30", "1.2.3s"],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="Go duration"):
        go_duration(text)


@pytest.mark.parametrize("url", ["https://a.example", "https://a.example:8443/b/c.png?v=1#x", ""])
def test_addresses_of_a_logo(url: str) -> None:
    assert secure_address(url) == url


@pytest.mark.parametrize(
    "url",
    ["http://a.example", "https://", "https://a b", "https://a.example/;", "https://a/'", 'https://a/"', "https://a@b"],
)
def test_what_would_change_the_policy_of_a_page(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        secure_address(url)


@pytest.mark.parametrize("address", ["help@example.com", "it+users@sub.example.com", ""])
def test_addresses_of_contacts(address: str) -> None:
    assert mail_address(address) == address


@pytest.mark.parametrize(
    "address", ["help", "a@b", "a b@c.example", "a@c.example?cc=b", "<a@c.example>", "a@c.example\n"]
)
def test_what_is_no_address_of_a_contact(address: str) -> None:
    with pytest.raises(ValueError, match="e-mail address"):
        mail_address(address)


UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
PARTS = st.lists(st.tuples(st.integers(0, 9999), st.sampled_from(sorted(UNITS))), min_size=1, max_size=5)


@given(PARTS, st.sampled_from(["", "+", "-"]))
def test_any_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]], sign: str) -> None:
    expected = sum(number * UNITS[unit] for number, unit in parts) * (-1 if sign == "-" else 1)
    assert go_duration(sign + "".join(f"{number}{unit}" for number, unit in parts)) == pytest.approx(expected)


@given(st.text(max_size=12))
def test_no_text_raises_anything_but_value_error(text: str) -> None:
    for parse in (go_duration, boolean):
        with contextlib.suppress(ValueError):
            parse(text)
