"""Bearer tokens and the real Auth: EdDSA by key set, HS512 by call, PATs, API keys (contract §1.3, §5.5, §5.6)."""

import time
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import pytest
from nacl.signing import SigningKey

from local.parts.auth import AuthServer
from tests.http_server import http_server
from tests.service import Service
from tests.tokens import claims, signed
from users.peers import jwt

HS512 = {"MG_AUTH_KEYS_ALGORITHM": "HS512", "MG_AUTH_SECRET_KEY": "k" * 64}


@pytest.fixture
def hs512(service: Service, make_auth: Callable[..., AuthServer]) -> Iterator[Service]:
    """Yield the service with an Auth whose keys are symmetric."""
    elsewhere = service.asking(make_auth(**HS512), **HS512)
    with elsewhere.configured():
        yield elsewhere


def test_pats_work_until_they_are_revoked(service: Service) -> None:
    user = service.register()
    pat = service.auth_command("pat", user["id"])
    answer = service.call("view_profile", token=pat)
    assert (answer.status, answer.json["id"]) == (200, user["id"])
    service.auth_command("revoke-pat", pat)
    assert service.call("view_profile", token=pat).error == (401, "unauthenticated")


@pytest.mark.parametrize("expires", ["", "1h"])
def test_api_keys_work_until_they_are_revoked(service: Service, expires: str) -> None:
    user = service.register()
    key = service.auth_command("api-key", user["id"], *(["--expires", expires] if expires else []))
    answer = service.call("view_profile", token=key)
    assert (answer.status, answer.json["id"]) == (200, user["id"])
    service.auth_command("revoke-api-key", jwt.unverified_claims(key)["jti"])
    assert service.call("view_profile", token=key).error == (401, "unauthenticated")


@pytest.mark.long
@pytest.mark.parametrize("variables", [{}, HS512], ids=["EdDSA", "HS512"])
@pytest.mark.parametrize(("strict", "status"), [("", 401), ("1", 200)], ids=["the real Auth", "one that takes them"])
def test_api_keys_without_a_role_are_good_where_auth_says_so(
    service: Service, make_auth: Callable[..., AuthServer], variables: dict[str, str], strict: str, status: int
) -> None:
    """The real Auth signs its API keys with role 0, and refuses them itself. The service ignores the claim."""
    elsewhere = service.asking(make_auth(AUTH_STRICT=strict, **variables), **variables)
    with elsewhere.configured():
        user = elsewhere.register()
        key = elsewhere.auth_command("api-key", user["id"], "--role", "none", "--expires", "1h")
        assert jwt.unverified_claims(key)["role"] == 0
        assert elsewhere.call("view_profile", token=key).status == status
        with elsewhere.configured(MG_AUTH_GRPC_URL="127.0.0.1:1"):
            assert elsewhere.call("view_profile", token=key).error == (503, "service_unavailable"), "Auth was asked"


def test_a_pat_lists_for_an_administrator_and_outlives_his_password(service: Service) -> None:
    admin, token = service.administrator()
    pat = service.auth_command("pat", admin)
    service.execute(
        "UPDATE users SET tokens_valid_from = date_trunc('second', now()) + interval '1 second' WHERE id = %s", admin
    )
    assert service.call("list_users", token=token).error == (401, "unauthenticated")
    assert service.call("list_users", token=pat, query="limit=1").status == 200
    service.execute("UPDATE users SET status = 1 WHERE id = %s", admin)
    assert service.call("list_users", token=pat).error == (401, "unauthenticated")


def test_an_expired_pat(service: Service) -> None:
    user = service.register()
    pat = service.auth_command("pat", user["id"], "--expires=-1s")
    assert service.call("view_profile", token=pat).error == (401, "unauthenticated")


@pytest.mark.parametrize(
    "form", ["pat", "pat_", "pat_x_y", "pat_" + "A" * 44 + "_" + "a" * 99, "pat_" + "A" * 44 + "_" + "é" * 100]
)
def test_what_only_looks_like_a_pat(service: Service, form: str) -> None:
    with service.configured(MG_AUTH_GRPC_URL="127.0.0.1:1"):  # no call to Auth is possible
        assert service.call("view_profile", token=form).error == (401, "unauthenticated")


def test_a_pat_of_the_right_form_that_nobody_made(service: Service) -> None:
    assert service.call("view_profile", token="pat_" + "A" * 43 + "=_" + "a" * 100).error == (401, "unauthenticated")


def test_a_token_dies_with_a_security_change_and_a_newer_one_lives(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    issued_at = jwt.unverified_claims(token)["iat"]
    for offset, status in ((-1, 200), (0, 200), (1, 401)):
        service.execute(
            "UPDATE users SET tokens_valid_from = to_timestamp(%s) WHERE id = %s", issued_at + offset, user["id"]
        )
        assert service.call("view_profile", token=token).status == status
    assert service.call("view_profile", token=service.log_in(user["email"])).status == 200


def test_an_expired_token(service: Service) -> None:
    user = service.register()
    token = service.auth_command("token", user["id"], "--expires=-1s")
    assert service.call("view_profile", token=token).error == (401, "unauthenticated")


def test_a_token_signed_by_nobody_we_know(service: Service) -> None:
    user = service.register()
    token = signed(claims(user["id"]), SigningKey.generate())
    assert service.call("view_profile", token=token).error == (401, "unauthenticated")


def test_garbage_does_not_make_it_fetch_the_key_set_again(service: Service) -> None:
    user = service.register()
    genuine = service.log_in(user["email"])
    with urlopen(service.environment["MG_AUTH_JWKS_URL"]) as answer:
        document = answer.read()
    key = SigningKey.generate()
    with http_server(body=document) as server, service.configured(MG_AUTH_JWKS_URL=server.url):
        for number in range(50):
            token = signed(claims(user["id"]), key, kid=f"kid-{number}")
            assert service.call("view_profile", token=token).status == 401
        assert service.call("view_profile", token=genuine).status == 200
        assert len(server.received) == 2


def test_the_key_set_away_is_503_not_401(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    with http_server(status=500) as server, service.configured(MG_AUTH_JWKS_URL=server.url):
        answer = service.call("view_profile", token=token)
    assert answer.error == (503, "service_unavailable")
    assert answer.headers["Retry-After"] == "2"


def test_what_works_while_auth_is_away(service: Service, make_auth: Callable[..., AuthServer]) -> None:
    server = make_auth()
    elsewhere = service.asking(server)
    with elsewhere.configured():
        admin, token = elsewhere.administrator()
        pat = elsewhere.auth_command("pat", admin)
        assert elsewhere.call("list_users", token=token, query="limit=1").status == 200
        server.stop()
        assert elsewhere.call("view_profile", token=token).status == 200, "the keys are cached"
        assert elsewhere.call("view_profile", token=pat).error == (503, "service_unavailable")
        assert elsewhere.call("list_users", token=token).error == (503, "service_unavailable")


def test_an_administrator_in_one_place_only(service: Service) -> None:
    _, token = service.administrator()
    demoted, old_token = service.administrator()
    service.execute("UPDATE users SET role = 0, verified_at = now() WHERE id = %s", demoted)
    assert service.call("list_users", token=old_token).error == (403, "not_administrator")
    claimed = service.register()
    service.execute("UPDATE users SET role = 1 WHERE id = %s", claimed["id"])
    token = service.auth_token(claimed["id"], "access")
    assert service.call("list_users", token=token).error == (403, "forbidden"), "the policy store has no such relation"
    with service.configured(MG_SPICEDB_HOST=""):
        assert service.call("list_users", token=token, query="limit=1").status == 200


def test_a_claimed_role_counts_for_nothing(service: Service) -> None:
    user = service.register()
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    token = service.auth_command("token", user["id"], "--role", "admin")
    assert service.call("list_users", token=token).error == (403, "not_administrator")


# --- symmetric keys: the service asks Auth about each token


def test_hs512_tokens(hs512: Service) -> None:
    user = hs512.register()
    token = hs512.log_in(user["email"])
    assert token.count(".") == 2
    assert hs512.call("view_profile", token=token).json["id"] == user["id"]
    hs512.execute(
        "UPDATE users SET tokens_valid_from = to_timestamp(%s) WHERE id = %s", int(time.time()) + 1, user["id"]
    )
    assert hs512.call("view_profile", token=token).error == (401, "unauthenticated")


@pytest.mark.long
@pytest.mark.parametrize("kind", ["refresh", "recovery", "invitation"])
def test_hs512_tokens_of_another_purpose(hs512: Service, kind: str) -> None:
    user = hs512.register()
    assert hs512.call("view_profile", token=hs512.auth_token(user["id"], kind)).error == (401, "unauthenticated")


def test_hs512_pats_and_api_keys(hs512: Service) -> None:
    user = hs512.register()
    for token in (hs512.auth_command("pat", user["id"]), hs512.auth_command("api-key", user["id"])):
        assert hs512.call("view_profile", token=token).status == 200


@pytest.mark.long
@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "\udc80", "x" * 9000, "pat", "\x7f", "a b"])
def test_hs512_garbage(hs512: Service, token: str) -> None:
    assert hs512.call("view_profile", token=token).error == (401, "unauthenticated")


def test_hs512_lists_for_administrators_only(hs512: Service) -> None:
    _, token = hs512.administrator()
    assert hs512.call("list_users", token=token, query="limit=1").status == 200
    user = hs512.register()
    hs512.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    assert hs512.call("list_users", token=hs512.log_in(user["email"])).error == (403, "not_administrator")
