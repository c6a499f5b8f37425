"""users.rules.networks: what limits count instead of single addresses."""

import pytest

from users.rules.networks import networks_of
from users.settings import WrongSettings, settings

KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MG_USERS_SECRET_KEY", KEY)
    settings.cache_clear()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8::1", "2001:db8:0:0:ffff:ffff:ffff:ffff"),
        ("2001:db8::1", "2001:DB8:0:0::2"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2"),
    ],
)
def test_one_near_network(one: str, other: str) -> None:
    assert networks_of(one) == networks_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("192.0.2.1", "192.0.2.2"),
        ("2001:db8::1", "2001:db8:0:1::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2"),
        ("192.0.2.1", "::192.0.2.1"),
        ("not an address", "another"),
    ],
)
def test_two_near_networks(one: str, other: str) -> None:
    assert networks_of(one).near != networks_of(other).near


def test_a_wide_network() -> None:
    assert networks_of("2001:db8:1:2::3").wide == networks_of("2001:db8:1:ffff::").wide
    assert networks_of("2001:db8:1:2::3").wide != networks_of("2001:db8:2:2::3").wide
    assert networks_of("2001:db8:1::").wide != networks_of("2001:db8:1::").near


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "::ffff:192.0.2.1", "", "not an address", "192.0.2.1:443", "1" * 5000]
)
def test_no_wide_network(address: str) -> None:
    assert networks_of(address).wide == ""
    assert len(networks_of(address).near) == 64


def test_another_key_makes_other_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    before = networks_of("2001:db8::1")
    monkeypatch.setenv("MG_USERS_SECRET_KEY", KEY[::-1])
    settings.cache_clear()
    after = networks_of("2001:db8::1")
    assert {before.near, before.wide}.isdisjoint({after.near, after.wide})


def test_without_a_key_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MG_USERS_SECRET_KEY")
    settings.cache_clear()
    with pytest.raises(WrongSettings, match="MG_USERS_SECRET_KEY"):
        networks_of("192.0.2.1")
