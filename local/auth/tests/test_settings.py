"""Settings: defaults, and wrong values, whose problem contains the variable's name."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.auth.settings import Settings
from local.serving.durations import parse_duration
from local.serving.variables import SettingsUnusable

_ENOUGH = {"MG_AUTH_DB_URL": "postgresql:///x", "MG_AUTH_KEYS_DIR": "keys"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1h", 3600), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5), ("0", 0), ("0s", 0), ("-2s", -2), ("+.5m", 30)],
)
def test_go_durations(text: str, seconds: float) -> None:
    """The parser reads them as Go's time.ParseDuration."""
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "1", "h", "1d", "1h ", "1h-1m", "--1s", ".s", "9999999h"])
def test_other_durations_are_refused(text: str) -> None:
    """Some of them look valid."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours: int, minutes: int, seconds: int) -> None:
    """The parser reads every h/m/s text that Go prints."""
    expected = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == expected


def test_defaults_are_those_of_upstream() -> None:
    """Contract §5.5 and contract §8.1. An empty variable counts as unset."""
    settings = Settings.from_environment(_ENOUGH | {"MG_AUTH_GRPC_PORT": "", "AUTH_STRICT": ""})
    assert (settings.grpc.number, settings.http.number, settings.spicedb.number) == (8181, 9001, 50051)
    assert (settings.keys_algorithm, settings.spicedb_key, settings.strict) == ("EdDSA", "12345678", False)
    durations = settings.durations
    assert [durations.access, durations.refresh, durations.recovery, durations.invitation] == [
        timedelta(hours=1),
        timedelta(hours=24),
        timedelta(minutes=5),
        timedelta(hours=168),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MG_AUTH_DB_URL", ""),
        ("MG_AUTH_KEYS_DIR", ""),
        ("MG_AUTH_GRPC_PORT", "65536"),
        ("MG_AUTH_HTTP_PORT", "http"),
        ("MG_SPICEDB_PORT", "-1"),
        ("MG_USERS_LOG_LEVEL", "loud"),
        ("MG_AUTH_KEYS_ALGORITHM", "RS256"),
        ("MG_AUTH_ACCESS_TOKEN_DURATION", "1 hour"),
        ("AUTH_STRICT", "yes"),
    ],
)
def test_bad_values_name_their_variable(name: str, value: str) -> None:
    """The message contains the variable."""
    with pytest.raises(SettingsUnusable, match=name):
        Settings.from_environment(_ENOUGH | {name: value})


def test_shared_secret_must_be_set() -> None:
    """Anybody can sign with an empty secret."""
    with pytest.raises(SettingsUnusable, match="MG_AUTH_SECRET_KEY"):
        Settings.from_environment(_ENOUGH | {"MG_AUTH_KEYS_ALGORITHM": "HS512"})
