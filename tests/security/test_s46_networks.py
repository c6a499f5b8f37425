"""S46: limits count networks: an IPv4 address, the /64 of an IPv6 address, and its /48 with a higher limit."""

import random
from collections import Counter
from ipaddress import IPv6Address

import pytest

from tests.people import Person, log_in, person
from tests.service import Service, registration
from users.repository import login_limits
from users.rules.networks import WIDE_FACTOR, networks_of


@pytest.fixture
def site() -> int:
    """Return the number of an unused /48."""
    return random.randrange(1 << 40) << 80 | 0x20 << 120


def host(site: int, network: int, number: int) -> str:
    """Return an address by the numbers of its site, its /64 and its host."""
    return str(IPv6Address(site | network << 64 | number))


def spray(service: Service, addresses: list[str]) -> Counter[int]:
    """Count the statuses of wrong logins, each with another name."""
    return Counter(
        log_in(service, f"nobody-{number}-{address}", "wrong password", address=address).status
        for number, address in enumerate(addresses)
    )


@pytest.mark.long
def test_s46_sprayed_logins_from_one_network(service: Service, site: int) -> None:
    answers = spray(service, [host(site, 0, number) for number in range(150)])
    assert answers == {401: login_limits.ADDRESS_LIMIT, 429: 150 - login_limits.ADDRESS_LIMIT}
    assert spray(service, [host(site, 1, 0)]) == {401: 1}


def test_s46_sprayed_logins_from_one_site(service: Service, site: int) -> None:
    """Each login comes from another /64."""
    nearly = login_limits.WIDE_ADDRESS_LIMIT - 3
    assert spray(service, [host(site, 0, 0)]) == {401: 1}
    service.execute(
        "UPDATE users_throttle SET hits = hits + %s WHERE key = 'login:wide_address:' || %s",
        nearly - 1, networks_of(host(site, 0, 0)).wide,
    )  # fmt: skip
    assert spray(service, [host(site, number, 0) for number in range(1, 6)]) == {401: 3, 429: 2}
    assert spray(service, [host(site + (1 << 80), 0, 0)]) == {401: 1}


@pytest.mark.long
def test_s46_registrations_from_one_network(service: Service, site: int) -> None:
    """The default of the setting is the number of registrations, whatever their results."""
    bodies = [registration(email=f"taken-{site}@example.com") for _ in range(130)]
    answers = Counter(
        service.call("register_user", body, address=host(site, 0, number)).status for number, body in enumerate(bodies)
    )
    assert answers == {201: 1, 409: 99, 429: 30}
    assert service.call("register_user", registration(), address=host(site, 1, 0)).status == 201


def test_s46_registrations_from_one_site(service: Service, site: int) -> None:
    with service.configured(MG_USERS_REGISTRATIONS_PER_HOUR="1"):
        statuses = [
            service.call("register_user", registration(), address=host(site, number, 0)).status for number in range(6)
        ]
    assert statuses == [201] * WIDE_FACTOR + [429] * (6 - WIDE_FACTOR)


def lock_out(service: Service, who: Person, addresses: list[str]) -> Counter[int]:
    return Counter(log_in(service, who.email, "wrong password", address=address).status for address in addresses)


def test_s46_nobody_is_locked_out_from_one_network(service: Service, site: int) -> None:
    """40 addresses of one /64 count as one. The account still logs in from any other network."""
    ada = person(service)
    assert lock_out(service, ada, [host(site, 0, number) for number in range(40)]) == {401: 5, 429: 35}
    assert log_in(service, ada.email, ada.secret).status == 201


@pytest.mark.long
def test_s46_nobody_is_locked_out_from_one_site(service: Service, site: int) -> None:
    ada = person(service)
    answers = lock_out(service, ada, [host(site, number, 0) for number in range(40)])
    assert answers == {401: login_limits.WIDE_PAIR_LIMIT, 429: 40 - login_limits.WIDE_PAIR_LIMIT}
    assert login_limits.WIDE_PAIR_LIMIT < login_limits.IDENTITY_LIMIT
    assert log_in(service, ada.email, ada.secret).status == 201


def test_s46_an_address_is_known_with_its_network(service: Service, site: int) -> None:
    """An owner whose address changes every day can still log in at home."""
    ada = person(service)
    assert log_in(service, ada.email, ada.secret, address=host(site, 0, 1)).status == 201
    for number in range(6):
        lock_out(service, ada, [f"192.0.2.{number}"] * 5)
    assert log_in(service, ada.email, ada.secret, address=host(site, 0, 2)).status == 201
    assert log_in(service, ada.email, ada.secret, address=host(site, 1, 1)).status == 429


def test_s46_an_ipv4_address_in_ipv6_clothes_is_the_same(service: Service) -> None:
    ada, plain = person(service), f"10.{random.randrange(256)}.{random.randrange(256)}.9"
    assert lock_out(service, ada, [plain, f"::ffff:{plain}", plain, f"::ffff:{plain}", plain]) == {401: 5}
    assert log_in(service, ada.email, ada.secret, address=f"::ffff:{plain}").status == 429


def test_s46_neighbours_of_an_ipv4_address_are_counted_apart(service: Service) -> None:
    ada, start = person(service), f"10.{random.randrange(256)}.{random.randrange(256)}"
    assert lock_out(service, ada, [f"{start}.1"] * 5) == {401: 5}
    assert log_in(service, ada.email, ada.secret, address=f"{start}.2").status == 201
