"""S77 `make run` that other machines reach, also through a proxy, has no well-known secret."""

from pathlib import Path

import pytest

from local import checks, environment, ports
from local.environment import Parts
from tests.local.test_supervisor import running

HERE = Parts(database=True, auth=True, events=True, mail=True)
PASSWORD = {"MG_USERS_ADMIN_PASSWORD": "quite another one"}
UPSTREAMS_KEY = "HyE2D4RUt9nnKG6v8zKEqAp6g6ka8hhZsqUpzgKvnwpXrNVQSH"


@pytest.mark.parametrize(
    ("user", "parts", "known"),
    [
        ({}, HERE, ["MG_USERS_ADMIN_PASSWORD"]),
        (PASSWORD, HERE, []),
        ({"MG_USERS_ADMIN_PASSWORD_SECRET_ARN": "arn:aws:secretsmanager:x"}, HERE, []),
        (PASSWORD | {"MG_USERS_SECRET_KEY": UPSTREAMS_KEY}, HERE, ["MG_USERS_SECRET_KEY"]),
        (PASSWORD | {"MG_AUTH_SECRET_KEY": "secret"}, HERE, ["MG_AUTH_SECRET_KEY"]),
        (PASSWORD | {"MG_AUTH_SECRET_KEY": UPSTREAMS_KEY}, HERE, ["MG_AUTH_SECRET_KEY"]),
        (PASSWORD | {"MG_SPICEDB_PRE_SHARED_KEY": "12345678"}, HERE, ["MG_SPICEDB_PRE_SHARED_KEY"]),
        (PASSWORD | {"MG_SPICEDB_HOST": "x"}, Parts(True, False, True, True), ["MG_SPICEDB_PRE_SHARED_KEY"]),
        (PASSWORD, Parts(True, False, True, True), []),
        (PASSWORD, Parts(False, True, True, True), ["MG_USERS_DB_PASS"]),
        (
            PASSWORD | {"MG_USERS_DB_PASS": "its own", "MG_USERS_DB_OWNER_PASS": "magistrala"},
            Parts(False, True, True, True),
            ["MG_USERS_DB_OWNER_PASS"],
        ),
    ],
)
def test_s77_which_secrets_everybody_knows(user: dict[str, str], parts: Parts, known: list[str]) -> None:
    assert checks.known_secrets(user, parts) == known


@pytest.mark.parametrize("name", ["MG_USERS_HTTP_HOST", "MG_USERS_TRUSTED_PROXIES"])
def test_s77_all_of_them_are_named_and_nothing_starts(tmp_path: Path, name: str) -> None:
    user = {name: "192.0.2.1", "MG_SPICEDB_PRE_SHARED_KEY": "12345678", "MG_AUTH_SECRET_KEY": "secret"}
    with running(tmp_path, **user) as run:
        assert run.wait() == 1
    names = "MG_USERS_ADMIN_PASSWORD, MG_SPICEDB_PRE_SHARED_KEY, MG_AUTH_SECRET_KEY"
    assert f"{name}=192.0.2.1 lets others reach the API" in run.output
    assert f"Set {names} to values of your own, or leave {name} unset.\nNothing was started." in run.output
    assert list(tmp_path.iterdir()) == []


def test_s77_on_the_loopback_they_do(tmp_path: Path) -> None:
    for user, exposing in (
        ({}, ""),
        ({"MG_USERS_HTTP_HOST": "127.0.0.2"}, ""),
        ({"MG_USERS_TRUSTED_PROXIES": "127.0.0.1"}, "MG_USERS_TRUSTED_PROXIES=127.0.0.1"),
        ({"MG_USERS_HTTP_HOST": "::"}, "MG_USERS_HTTP_HOST=::"),
    ):
        numbers = ports.read(user)
        assert environment.exposing(user, numbers) == exposing
        found = environment.functions_environment(user, HERE, numbers, None, tmp_path)
        assert found["MG_LOCAL_EXPOSED"] == ("true" if exposing else "false")


def test_s77_what_nobody_sets_is_made_at_random(tmp_path: Path) -> None:
    """Each installation gets other secrets, and keeps them."""
    first, second = tmp_path / "first", tmp_path / "second"
    found = []
    for place in (first, first, second):
        place.mkdir(exist_ok=True)
        made = environment.functions_environment({}, HERE, ports.read({}), "/sockets", place)
        found.append([made[name] for name in ("MG_USERS_SECRET_KEY", "MG_SPICEDB_PRE_SHARED_KEY")])
    assert found[0] == found[1]
    assert set(found[0]) & set(found[2]) == set()
    assert all(len(secret) >= 32 for secret in found[0])


@pytest.mark.long
def test_s77_behind_a_proxy_the_administrator_of_before_is_refused(place: Path) -> None:
    """The administrator was made with the well-known password while no other machine could connect."""
    with running(place) as run:
        run.read_until("Ctrl-C stops everything")
    with running(place, MG_USERS_TRUSTED_PROXIES="127.0.0.1", **PASSWORD) as run:
        assert run.wait() == 1
    assert "the administrator admin has the well-known password" in run.output
    assert "gateway is ready" not in run.output
