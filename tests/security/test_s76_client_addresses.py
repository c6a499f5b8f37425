"""S76 Behind a proxy, `make run` counts clients by the address that a trusted proxy saw, which no client can choose."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from local.gateway.http.client_address import HEADERS, Proxies, read_networks
from local.gateway.settings import read_settings
from local.parts.gateway import Gateway
from local.parts.postgres import PostgresServer
from local.serving.variables import SettingsUnusable
from tests.nginx_server import PROGRAM, Nginx, running_nginx
from tests.service import registration

TRUSTED = Proxies(read_networks("127.0.0.1, 10.0.0.0/8 ,::1,2001:db8:1::/48"))
FORWARDED = Proxies(read_networks("127.0.0.1"), "forwarded")


def client(*sent: str, peer: str = "127.0.0.1", name: str = HEADERS[0], proxies: Proxies = TRUSTED) -> str:
    """Return the client of a request in which each of ``sent`` is a separate header."""
    return proxies.client_of(peer, [("host", "a"), *((name, value) for value in sent)])


@pytest.mark.parametrize("peer", ["192.0.2.9", "127.0.0.2", "2001:db8:2::1", "11.0.0.1", "somewhere"])
def test_s76_who_is_no_trusted_proxy_says_nothing(peer: str) -> None:
    assert client("198.51.100.1", peer=peer) == peer


def test_s76_without_the_setting_nobody_is_trusted() -> None:
    assert client("198.51.100.1", proxies=Proxies()) == "127.0.0.1"
    assert read_settings({}).proxies.client_of("127.0.0.1", [(HEADERS[0], "198.51.100.1")]) == "127.0.0.1"


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (["198.51.100.1"], "198.51.100.1"),
        (["203.0.113.5, 198.51.100.1"], "198.51.100.1"),  # the client sent the first address
        (["203.0.113.5", "198.51.100.1"], "198.51.100.1"),  # in a separate header
        (["127.0.0.1, 198.51.100.1"], "198.51.100.1"),  # and pretends to be a trusted proxy
        (["203.0.113.5, 198.51.100.1, 10.0.0.7"], "198.51.100.1"),  # two trusted proxies
        (["10.0.0.9, 10.0.0.7"], "10.0.0.9"),  # a proxy is the client
        (["203.0.113.5, , 10.0.0.7"], "10.0.0.7"),
        (["2001:db8:2::7"], "2001:db8:2::7"),
        (["2001:DB8:2:0::7"], "2001:db8:2::7"),
        (["[2001:db8:2::7]:4711"], "2001:db8:2::7"),
        (["203.0.113.5, 2001:db8:2::7, 2001:db8:1::1"], "2001:db8:2::7"),
        (["198.51.100.1:5000"], "198.51.100.1"),
        (["::ffff:198.51.100.1"], "198.51.100.1"),
        (["198.51.100.1, ::ffff:10.0.0.7"], "198.51.100.1"),
        ([], "127.0.0.1"),
        (["198.51.100.1," + "10.0.0.7," * 30 + "10.0.0.8"], "10.0.0.7"),  # more entries than are read
    ],
)
def test_s76_the_last_address_that_is_no_proxy_of_ours(sent: list[str], found: str) -> None:
    assert client(*sent) == found


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "unknown", "_hidden", "evil.example", "198.51.100", "198.51.100.256", "1.2.3.4.5", "[198.51.100.1]", "-1",
     "198.51.100.1:123456", "198.51.100.1:", "[2001:db8::1", "2001:db8::1]", "fe80::1%eth0", "198.51.100.1 ; x",
     "0x7f.1", "127.1", "::1::", '"198.51.100.1"', "for=198.51.100.1", "198.51.100.1\x00", "١٢٧.0.0.1"],
)  # fmt: skip
def test_s76_what_is_no_address_is_not_followed(wrong: str) -> None:
    """All clients behind one proxy that send it share a limit: that of the proxy, or of the proxy before it."""
    assert client(f"203.0.113.5, {wrong}") == "127.0.0.1"
    assert client(f"203.0.113.5, {wrong}, 10.0.0.7") == "10.0.0.7"


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (["for=198.51.100.1"], "198.51.100.1"),
        (['For="198.51.100.1:80";Proto=https;by=10.0.0.7'], "198.51.100.1"),
        (['for=203.0.113.5, for="[2001:db8:2::7]:4711"'], "2001:db8:2::7"),
        (["for=203.0.113.5", "proto=https;for=198.51.100.1"], "198.51.100.1"),
        (['for=", for=198.51.100.1'], "198.51.100.1"),  # the client leaves a quote open
        # A proxy forwards a Host that the client chose to hide the end of the entry.
        (['for=198.51.100.1;host="a,for=203.0.113.5"'], "127.0.0.1"),
        (['for=198.51.100.1;host="a\\";for=203.0.113.5;x=\\""'], "127.0.0.1"),
        (['for=198.51.100.1;host="a\\",for=203.0.113.5;b=\\"c"'], "127.0.0.1"),
        (["for=198.51.100.1;for=203.0.113.5"], "127.0.0.1"),
        (["for=unknown"], "127.0.0.1"),
        (["for=_secret"], "127.0.0.1"),
        (["proto=https"], "127.0.0.1"),
        (["198.51.100.1"], "127.0.0.1"),
        ([""], "127.0.0.1"),
    ],
)
def test_s76_forwarded(sent: list[str], found: str) -> None:
    assert client(*sent, name="forwarded", proxies=FORWARDED) == found


def test_s76_only_the_header_that_is_set_counts() -> None:
    """A proxy does not change the other header of a client."""
    both = [("x-forwarded-for", "198.51.100.1"), ("forwarded", "for=203.0.113.5")]
    assert TRUSTED.client_of("127.0.0.1", both) == "198.51.100.1"
    assert FORWARDED.client_of("127.0.0.1", both) == "203.0.113.5"
    assert client("for=203.0.113.5", name="forwarded") == "127.0.0.1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MG_USERS_TRUSTED_PROXIES", "nginx"),
        ("MG_USERS_TRUSTED_PROXIES", "127.0.0.1,10.0.0.1/8"),
        ("MG_USERS_TRUSTED_PROXIES", "0.0.0.0/0"),
        ("MG_USERS_TRUSTED_PROXIES", "::/0"),
        ("MG_USERS_PROXY_HEADER", "x-real-ip"),
    ],
)
def test_s76_wrong_settings_are_named(name: str, value: str) -> None:
    with pytest.raises(SettingsUnusable, match=name):
        read_settings({name: value})


# --- with the real limits


@pytest.fixture(scope="module")
def gateway(
    postgres: PostgresServer, environment: dict[str, str], template_database: str, parts_folder: Path
) -> Iterator[Gateway]:
    """Yield a gateway that allows two registrations an hour from one address and trusts nginx on 127.0.0.1."""
    postgres.create_database("s76", template=template_database)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MG_", "AWS_"))}
    own = {
        "MG_USERS_DB_NAME": "s76",
        "MG_USERS_REGISTRATIONS_PER_HOUR": "2",
        "MG_USERS_TRUSTED_PROXIES": "127.0.0.1",
        "MG_LOCAL_WORKERS": "1",
        "MG_LOCAL_SCHEDULES": "off",
    }
    with Gateway(environment=inherited | environment | own, log=parts_folder / "s76.log") as started:
        yield started


@pytest.fixture(scope="module")
def nginx(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with running_nginx(tmp_path_factory.mktemp("nginx"), gateway.http_port) as started:
        yield started


def registrations(client: httpx.Client, url: str, *sent: str) -> list[int]:
    """Register once for each value, which the client sends as X-Forwarded-For. Return the statuses."""
    found = []
    for claimed in sent:
        answer = client.post(
            f"{url}/users", json=registration(), headers={"X-Forwarded-For": claimed} if claimed else {}
        )
        found.append(answer.status_code)
    return found


@pytest.mark.long
@pytest.mark.skipif(PROGRAM is None, reason="no nginx on this machine")
def test_s76_behind_nginx_each_client_has_a_limit_of_its_own(nginx: Nginx) -> None:
    for address in ("127.0.0.11", "127.0.0.12"):
        with nginx.client(address) as client:
            assert registrations(client, nginx.url, "", "203.0.113.1", "203.0.113.2, 127.0.0.1") == [201, 201, 429]
    with nginx.client("127.0.0.12") as client:
        assert registrations(client, nginx.url, "127.0.0.13", "unknown", '"', "x" * 2000) == [429] * 4


@pytest.mark.long
@pytest.mark.skipif(PROGRAM is None, reason="no nginx on this machine")
def test_s76_the_shipped_configuration_serves(nginx: Nginx) -> None:
    with nginx.client() as client:
        answer = client.get(f"{nginx.url}/health")
        assert (answer.status_code, json.loads(answer.text)["status"]) == (200, "pass")
        answer = client.get(f"{nginx.plain_url}/health")
        assert (answer.status_code, answer.headers["location"]) == (301, "https://localhost/health")


@pytest.mark.long
def test_s76_past_the_proxy_the_header_counts_only_from_its_address(gateway: Gateway) -> None:
    url = f"http://127.0.0.1:{gateway.http_port}"
    sent = ["198.51.100.1", "198.51.100.2", "198.51.100.3", "2001:db8::1"]
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.21"), timeout=30) as client:
        assert registrations(client, url, *sent) == [201, 201, 429, 429]
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.1"), timeout=30) as client:
        assert registrations(client, url, *sent) == [201] * 4
