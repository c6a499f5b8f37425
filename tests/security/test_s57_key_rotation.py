"""S57: a rotation of Auth's keys refuses no valid token, and garbage does not make a function fetch keys endlessly."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from nacl.signing import SigningKey

from local.parts.auth import AuthServer
from tests.http_server import HttpServer, http_server
from tests.people import is_alive, logged_in, person, refresh
from tests.service import Service
from tests.tokens import claims, key_set, signed
from users.access import Account
from users.errors import Unauthenticated, Unavailable
from users.peers import jwt
from users.peers.auth import Tokens
from users.steps.sessions import obtain_tokens

KEY, NEXT_KEY, FOREIGN_KEY = (SigningKey(letter * 32) for letter in (b"k", b"n", b"f"))
MINUTE, LONGEST_BLOCK = 60.0, 20.0


@dataclass
class Clock:
    """The monotonic clock, which a test can set forward."""

    real: Callable[[], float] = field(default=time.monotonic)
    ahead: float = 0.0

    def __call__(self) -> float:
        return self.real() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


@pytest.fixture
def rotating(service: Service, make_auth: Callable[..., AuthServer]) -> Iterator[tuple[Service, str]]:
    """Yield the service with its own Auth, and the address that makes this Auth rotate its keys."""
    auth = make_auth(AUTH_FAULTS="1")
    elsewhere = service.asking(auth)
    with elsewhere.configured():
        yield elsewhere, f"http://127.0.0.1:{auth.ports.http}/rotations"


def rotate(address: str, kid: str) -> None:
    """Make a new key. If ``kid`` is empty, the key keeps the old key id, as the real Auth's keys do."""
    httpx.post(address, json={"kid": kid} if kid else {}, trust_env=False).raise_for_status()


@pytest.mark.long
@pytest.mark.parametrize("held_for", [0.0, 100.0, 299.0])
@pytest.mark.parametrize("kid", ["", "next"])
def test_s57_no_token_of_a_new_key_is_refused(
    rotating: tuple[Service, str], clock: Clock, kid: str, held_for: float
) -> None:
    service, address = rotating
    ada = person(service)
    assert is_alive(service, ada.token)
    clock.ahead += held_for
    rotate(address, kid)
    again = logged_in(service, ada)
    assert is_alive(service, again.token)
    assert refresh(service, again.refresh_token).status == 201
    # With another key id the old key retires, and its tokens stay valid. With the same id Auth refuses them, too.
    assert is_alive(service, ada.token) is bool(kid)
    assert refresh(service, ada.refresh_token).status == (201 if kid else 401)


def test_s57_rotations_in_a_row(rotating: tuple[Service, str], clock: Clock) -> None:
    service, address = rotating
    ada = person(service)
    for kid in ("", "second", "", "third", "third", ""):
        rotate(address, kid)
        ada = logged_in(service, ada)
        assert is_alive(service, ada.token)
        clock.ahead += LONGEST_BLOCK


@pytest.fixture
def jwks(service: Service) -> Iterator[HttpServer]:
    with http_server(body=key_set(active=KEY)) as server, service.configured(MG_AUTH_JWKS_URL=server.url):
        yield server


# The key id, and the seconds by which ``iat`` is ahead.
GARBAGE = {"of a known key id": ("active", 0), "of unknown key ids": ("kid-{}", 0), "from the future": ("active", 50)}
Garbage = tuple[str, int]


def forged(garbage: Garbage, number: int) -> str:
    kid, ahead = garbage
    return signed(claims("7", iat=int(time.time()) + ahead), FOREIGN_KEY, kid=kid.format(number))


def refuse(token: str) -> None:
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(token)


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_s57_garbage_fetches_keys_five_times_a_minute_at_most(jwks: HttpServer, clock: Clock, garbage: Garbage) -> None:
    genuine = signed(claims("7"), KEY, kid="active")
    fetches: list[float] = []
    for number in range(1200):  # ten minutes
        refuse(forged(garbage, number))
        assert jwt.verified_claims(genuine)["sub"] == "7"
        fetches += [time.monotonic()] * (len(jwks.received) - len(fetches))
        clock.ahead += 0.5
    assert max(sum(begin <= each <= begin + MINUTE for each in fetches) for begin in fetches) <= 5
    assert len(fetches) > 20, "the keys are still fetched now and then, so that a rotation is found"


@pytest.mark.parametrize("kid", ["active", "next"])
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_s57_garbage_keeps_a_rotation_away_for_seconds_at_most(
    jwks: HttpServer, clock: Clock, garbage: Garbage, kid: str
) -> None:
    for number in range(100):
        refuse(forged(garbage, number))
    jwks.body = key_set(**{"active": KEY, kid: NEXT_KEY})
    clock.ahead += LONGEST_BLOCK
    refuse(forged(garbage, 0))
    assert jwt.verified_claims(signed(claims("7"), NEXT_KEY, kid=kid))["sub"] == "7"


def test_s57_garbage_does_not_hammer_an_auth_that_is_away(jwks: HttpServer, clock: Clock) -> None:
    genuine = signed(claims("7"), KEY, kid="active")
    jwt.verified_claims(genuine)
    jwks.status = 503
    before = len(jwks.received)
    for _ in range(119):  # just less than a minute
        with pytest.raises(Unavailable):  # the token may have a new key
            jwt.verified_claims(signed(claims("7"), FOREIGN_KEY, kid="active"))
        assert jwt.verified_claims(genuine)["sub"] == "7"
        clock.ahead += 0.5
    assert len(jwks.received) - before <= 5


def test_s57_garbage_that_is_older_than_the_keys_fetches_none(jwks: HttpServer) -> None:
    jwt.verified_claims(signed(claims("7"), KEY, kid="active"))
    for kid in ("active", "other"):
        refuse(signed(claims("7", iat=int(time.time()) - 70), FOREIGN_KEY, kid=kid))
        refuse(signed(claims("7", exp=int(time.time()) - 1), FOREIGN_KEY, kid=kid))
    assert len(jwks.received) == 1


# --- The clocks of Auth and of this service


def test_s57_a_token_outlives_a_change_by_no_more_than_clocks_may_differ(service: Service) -> None:
    """A token that looks younger than the change is valid. A token from more than a minute ahead never is."""
    user = service.register()
    key = SigningKey.generate()
    with http_server(body=key_set(key=key)) as server, service.configured(MG_AUTH_JWKS_URL=server.url):
        now = int(time.time())
        service.execute("UPDATE users SET tokens_valid_from = to_timestamp(%s) WHERE id = %s", now + 1, user["id"])
        alive = {
            ahead: is_alive(service, signed(claims(user["id"], iat=now + ahead), key)) for ahead in (-60, 0, 30, 90)
        }
    assert alive == {-60: False, 0: False, 30: True, 90: False}


ACCOUNT = Account(id="7", status=0, role=0, verified=True, tokens_valid_from=0)


def issued(at: int) -> Tokens:
    """Return the tokens that Auth's Issue makes when its clock shows ``at``."""
    token = signed(claims("7", iat=at), KEY)
    return Tokens(token, token)


def test_s57_a_login_takes_no_token_from_further_ahead() -> None:
    with pytest.raises(Unavailable):
        obtain_tokens(ACCOUNT, lambda: issued(int(time.time()) + 90))


def test_s57_a_login_ends_when_its_token_has_come(service: Service) -> None:
    """Every later change is then younger than the token, although Auth's clock is a little ahead."""
    issued_at = int(time.time()) + 1
    obtain_tokens(ACCOUNT, lambda: issued(issued_at))
    (change,) = service.execute("SELECT extract(epoch FROM date_trunc('second', now()))::bigint + 1 AS valid_from")
    assert change["valid_from"] > issued_at
