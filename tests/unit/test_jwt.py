"""Access tokens against a key set that a real HTTP server serves (contract §5.5, §5.6)."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from tests.http_server import HttpServer, http_server
from tests.tokens import claims, encode, key_set, signed, signed_symmetrically, unsigned
from users.errors import Unauthenticated, Unavailable
from users.peers import jwt
from users.settings import WrongSettings

KEY = SigningKey(b"k" * 32)
OTHER_KEY = SigningKey(b"o" * 32)


@pytest.fixture
def jwks(configure: Callable[..., None]) -> Iterator[HttpServer]:
    with http_server(body=key_set(key=KEY)) as server:
        configure(MG_AUTH_JWKS_URL=f"{server.url}/jwks.json")
        yield server


def test_a_genuine_token(jwks: HttpServer) -> None:
    payload = claims("7")
    assert jwt.verified_claims(signed(payload, KEY)) == payload
    assert jwks.received[0].headers["accept"] == "application/json"


def test_the_key_set_is_fetched_once(jwks: HttpServer) -> None:
    for subject in "abc":
        jwt.verified_claims(signed(claims(subject), KEY))
    assert len(jwks.received) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(time.time()) - 1},
        {"exp": ...},
        {"exp": "later"},
        {"iss": "somebody"},
        {"iss": ...},
        {"iat": int(time.time()) + 3600},
        {"nbf": int(time.time()) + 3600},
        {"nbf": "soon"},
        {"sub": ""},
        {"sub": ...},
        {"sub": 7},
        {"type": 6},
        {"type": -1},
        {"type": ...},
        {"type": "0"},
        {"role": 0},
        {"role": 3},
        {"role": ...},
        {"verified": ...},
        {"verified": 1},
        {"verified": "true"},
    ],
    ids=",".join,  # the same in every worker, whatever the time
)
def test_claims_that_are_refused(jwks: HttpServer, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(signed(claims("7", **changes), KEY))


@pytest.mark.parametrize("changes", [{"nbf": 1}, {"iat": ...}, {"jti": "x"}, {"extra": [1]}], ids=str)
def test_claims_that_are_accepted(jwks: HttpServer, changes: dict[str, Any]) -> None:
    assert jwt.verified_claims(signed(claims("7", **changes), KEY))["sub"] == "7"


def test_an_api_key_may_never_expire(jwks: HttpServer) -> None:
    assert jwt.verified_claims(signed(claims("7", type=3, exp=...), KEY))["type"] == 3


FORGERIES = {
    "another key": signed(claims("7"), OTHER_KEY),
    "an endless past": signed(claims("7", iat=float("-inf")), OTHER_KEY),
    "a past beyond all floats": signed(claims("7", iat=-(10**400), exp=10**400), OTHER_KEY),
    "no moment": signed(claims("7", iat=float("nan"), exp=float("nan")), OTHER_KEY),
    "an unknown key id": signed(claims("7"), KEY, kid="other"),
    "no key id": signed(claims("7"), KEY, kid=None),  # type: ignore[arg-type]
    "a list for a key id": signed(claims("7"), KEY, kid=["key"]),  # type: ignore[arg-type]
    "alg none": unsigned(claims("7")),
    "alg none, signed": signed(claims("7"), KEY, alg="none"),
    "alg in other case": signed(claims("7"), KEY, alg="eddsa"),
    "EdDSA without a signature": unsigned(claims("7"), algorithm="EdDSA"),
    "HS256 with the public key": signed_symmetrically(claims("7"), KEY.verify_key.encode()),
    "HS512 with the public key as text": signed_symmetrically(
        claims("7"), encode(KEY.verify_key.encode()).encode(), algorithm="HS512"
    ),
    "claims that are a list": signed([claims("7")], KEY),
    "claims that are null": signed(None, KEY),
    "the claims of another": ".".join(
        (
            signed(claims("7"), KEY).split(".")[0],
            signed(claims("8"), KEY).split(".")[1],
            signed(claims("7"), KEY).split(".")[2],
        )
    ),
    "a longer signature": signed(claims("7"), KEY) + "AAAA",
    "two parts": signed(claims("7"), KEY).rpartition(".")[0],
    "four parts": signed(claims("7"), KEY) + ".x",
    "an endless one": "a" * 9000 + ".b.c",
    "deep nesting": f"{encode(b'[' * 5000)}.{encode(b'{}')}.{encode(b'x')}",
    "no UTF-8": ".".join(encode(part) for part in (b'{"a":"\xff"}', b"{}", b"x")),
    "no base64": "!.!.!",
    "no ASCII": "é.é.é",
    "halves of surrogate pairs": "\udc80.\udc80.\udc80",
    "nothing": "..",
}


@pytest.mark.parametrize("token", FORGERIES.values(), ids=FORGERIES)
def test_forgeries(jwks: HttpServer, token: str) -> None:
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(token)
    assert len(jwks.received) <= 1
    jwt.verified_claims(signed(claims("7"), KEY))


@given(st.text(max_size=300) | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*", fullmatch=True))
def test_no_text_raises_anything_but_unauthenticated(text: str) -> None:
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(text)


def test_garbage_does_not_make_it_fetch_again(jwks: HttpServer) -> None:
    jwt.verified_claims(signed(claims("7"), KEY))
    for number in range(100):
        with pytest.raises(Unauthenticated):
            jwt.verified_claims(signed(claims("7"), OTHER_KEY, kid=f"kid-{number}"))
    assert len(jwks.received) == 2


@pytest.mark.parametrize("changes", [{"exp": 1}, {"iss": "somebody"}, {"iat": ...}, {"iat": 1}], ids=str)
def test_what_cannot_be_of_a_newer_key_fetches_none(jwks: HttpServer, changes: dict[str, Any]) -> None:
    jwt.verified_claims(signed(claims("7"), KEY))
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(signed(claims("7", **changes), OTHER_KEY, kid="fresh"))
    assert len(jwks.received) == 1


@pytest.mark.parametrize("kid", ["key", "fresh"])
@pytest.mark.parametrize("behind", [0, 55])
def test_a_new_key_is_found_at_once(jwks: HttpServer, kid: str, behind: int) -> None:
    """Also when Auth's clock is behind."""
    jwt.verified_claims(signed(claims("7"), KEY))
    jwks.body = key_set(**{"key": KEY, kid: OTHER_KEY})
    fresh = signed(claims("7", iat=int(time.time()) - behind), OTHER_KEY, kid=kid)
    assert jwt.verified_claims(fresh)["sub"] == "7"
    assert len(jwks.received) == 2


def test_a_set_that_was_fetched_for_the_token_is_not_fetched_twice(jwks: HttpServer) -> None:
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(signed(claims("7"), OTHER_KEY))
    assert len(jwks.received) == 1


def test_a_set_without_keys_is_fetched_no_more_often(jwks: HttpServer) -> None:
    """As of an Auth whose keys are symmetric."""
    jwks.body = key_set()
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            jwt.verified_claims(signed(claims("7"), KEY))
    assert len(jwks.received) == 2


def test_caches_are_asked_for_no_old_keys(jwks: HttpServer) -> None:
    jwt.verified_claims(signed(claims("7"), KEY))
    assert jwks.received[0].headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("claim", ["iat", "nbf"])
@pytest.mark.parametrize(("ahead", "good"), [(55, True), (65, False)])
def test_clocks_may_differ_by_a_minute(jwks: HttpServer, claim: str, ahead: int, good: bool) -> None:
    token = signed(claims("7", **{claim: int(time.time()) + ahead}), KEY)
    if good:
        assert jwt.verified_claims(token)["sub"] == "7"
    else:
        with pytest.raises(Unauthenticated):
            jwt.verified_claims(token)


def test_an_expiry_has_no_leeway(jwks: HttpServer) -> None:
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(signed(claims("7", exp=int(time.time())), KEY))


def test_api_keys_alone_need_no_role(jwks: HttpServer) -> None:
    assert jwt.verified_claims(signed(claims("7", type=3, role=0, exp=...), KEY))["role"] == 0
    for kind in (0, 1, 2, 4, 5):
        with pytest.raises(Unauthenticated):
            jwt.verified_claims(signed(claims("7", type=kind, role=0), KEY))


def test_a_retired_key_is_forgotten_after_five_minutes(jwks: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    jwt.verified_claims(signed(claims("7"), KEY))
    jwks.body = key_set(fresh=OTHER_KEY)
    later = time.monotonic() + 301
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(Unauthenticated):
        jwt.verified_claims(signed(claims("7"), KEY))


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b""), (404, b"{}"), (200, b""), (200, b"[]"), (200, b'{"keys":1}'),
     (200, b'{"keys":[{"kty":"OKP","crv":"Ed25519"}]}'),
     (200, b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key","x":"!"}]}'),
     (200, b'{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"key","x":"AAAA"}]}')],
)  # fmt: skip
def test_a_key_set_that_cannot_be_had_is_auth_being_away(jwks: HttpServer, status: int, body: bytes) -> None:
    jwks.status, jwks.body = status, body
    with pytest.raises(Unavailable):
        jwt.verified_claims(signed(claims("7"), KEY))


def test_known_keys_outlive_auth_being_away(jwks: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    jwt.verified_claims(signed(claims("7"), KEY))
    jwks.status = 503
    later = time.monotonic() + 301
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert jwt.verified_claims(signed(claims("7"), KEY))["sub"] == "7"
    for kid in ("key", "fresh"):  # a new key may have the old one's id
        with pytest.raises(Unavailable):
            jwt.verified_claims(signed(claims("7"), OTHER_KEY, kid=kid))
    assert jwt.verified_claims(signed(claims("7"), KEY))["sub"] == "7"


def test_auth_being_away_is_asked_once_a_second(jwks: HttpServer) -> None:
    jwks.status = 503
    for _ in range(20):
        with pytest.raises(Unavailable):
            jwt.verified_claims(signed(claims("7"), KEY))
    assert len(jwks.received) <= 2


def test_keys_of_other_kinds_are_passed_over(jwks: HttpServer) -> None:
    document = json.loads(jwks.body)
    document["keys"].insert(0, {"kid": "rsa", "kty": "RSA", "n": "x", "e": "AQAB"})
    document["keys"].insert(0, {"kid": "x", "kty": "OKP", "crv": "X25519", "x": "x"})
    jwks.body = json.dumps(document).encode()
    assert jwt.verified_claims(signed(claims("7"), KEY))["sub"] == "7"


def test_the_url_must_be_http(configure: Callable[..., None]) -> None:
    configure(MG_AUTH_JWKS_URL="file:///etc/passwd")
    with pytest.raises(WrongSettings, match=r"^MG_AUTH_JWKS_URL: must be a URL"):
        jwt.verified_claims(signed(claims("7"), KEY))


@pytest.mark.parametrize(
    ("payload", "seconds"),
    [
        ({"iat": 5}, 5),
        ({"iat": 5.9}, 5),
        ({}, None),
        ({"iat": "5"}, None),
        ({"iat": True}, None),
        ({"iat": None}, None),
        ({"iat": -(10**400)}, -(10**400)),
        ({"iat": float("-inf")}, None),
        ({"iat": float("inf")}, None),
        ({"iat": float("nan")}, None),
        ({"iat": 10**12}, None),
    ],
)
def test_issued_at(payload: dict[str, Any], seconds: int | None) -> None:
    assert jwt.issued_at(payload) == seconds


def test_unverified_claims() -> None:
    assert jwt.unverified_claims(signed({"iat": 5}, KEY)) == {"iat": 5}
    for text in ("", "a", "a.b", "a.!.c", f"a.{encode(b'[]')}.c", f"a.{encode(b'[' * 5000)}.c"):
        assert jwt.unverified_claims(text) == {}
