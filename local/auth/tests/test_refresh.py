"""TokenService.Refresh, as weak as upstream, and with rotation by AUTH_STRICT=1 (contract §4.4, contract §9 S9)."""

from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
import pytest

from local.auth.tests.process import claims, new_user, refused, update, wait_until

if TYPE_CHECKING:
    from local.auth.tests.conftest import Starter
    from local.auth.tests.process import AuthProcess

_NESTED = base64.urlsafe_b64encode(b"[" * 90_000).decode() + ".a.b"  # deeply nested JSON


def test_same_id_and_expiry_and_the_old_token_stays_usable(auth: AuthProcess, member: str) -> None:
    """Upstream rotates nothing (contract §4.4)."""
    old = auth.issue(member).refresh_token
    new = auth.refresh(old).refresh_token
    assert claims(new)["jti"] == claims(old)["jti"]
    assert claims(new)["exp"] == claims(old)["exp"]
    assert refused(lambda: auth.refresh(old)) is grpc.StatusCode.OK
    assert refused(lambda: auth.refresh(new)) is grpc.StatusCode.OK


def test_access_token_of_a_refresh_carries_the_id(auth: AuthProcess, member: str) -> None:
    """Contract §5.5."""
    old = auth.issue(member).refresh_token
    answer = auth.refresh(old)
    content = claims(answer.access_token)
    assert content["type"] == 0
    assert content["jti"] == claims(old)["jti"]
    assert content["exp"] - content["iat"] == 3600
    assert answer.access_type == ""


def test_description_is_lost(auth: AuthProcess, member: str) -> None:
    """Contract §4.4."""
    old = auth.issue(member, description="my phone").refresh_token
    auth.refresh(old)
    assert auth.list_refresh_tokens(member) == [(claims(old)["jti"], "")]


def test_role_is_kept_and_verified_comes_from_the_request(auth: AuthProcess, admin: str) -> None:
    """A demoted admin keeps the role claim, because Refresh does not check the relations (contract §5.5)."""
    old = auth.issue(admin, role=2, verified=True).refresh_token
    auth.write(update("DELETE", admin, "administrator"))
    unverified = auth.refresh(old, verified=False)
    verified = auth.refresh(old, verified=True)
    for token in (unverified.access_token, unverified.refresh_token):
        assert (claims(token)["role"], claims(token)["verified"]) == (2, False)
    assert claims(verified.access_token)["verified"] is True


def test_iat_is_the_time_of_the_refresh(auth: AuthProcess, member: str) -> None:
    """The Users service compares iat with its `tokens_valid_from`."""
    old = auth.issue(member).refresh_token
    wait_until(lambda: claims(auth.refresh(old).access_token)["iat"] > claims(old)["iat"], "the next second")


@pytest.mark.parametrize("kind", ["access", "recovery", "invitation"])
def test_other_tokens_fail_as_upstream(auth: AuthProcess, member: str, kind: str) -> None:
    """Refresh answers INTERNAL to a token of another type (contract §9 B13)."""
    token = auth.command("token", member, "--type", kind).stdout.strip()
    assert refused(lambda: auth.refresh(token)) is grpc.StatusCode.INTERNAL


def test_pat_fails_as_upstream(auth: AuthProcess, member: str) -> None:
    """Contract §9 B13."""
    token = auth.command("pat", member).stdout.strip()
    assert refused(lambda: auth.refresh(token)) is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "..", "é.é.é", _NESTED])
def test_garbage_is_unauthenticated(auth: AuthProcess, token: str) -> None:
    """Contract §5.4."""
    assert refused(lambda: auth.refresh(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_no_token_is_malformed(auth: AuthProcess) -> None:
    """Contract §5.4."""
    assert refused(lambda: auth.refresh("")) is grpc.StatusCode.INVALID_ARGUMENT


def test_revoked_token_is_unauthenticated(auth: AuthProcess, member: str) -> None:
    """The id must be on record (contract §4.4)."""
    token = auth.issue(member).refresh_token
    auth.revoke(claims(token)["jti"], member)
    assert refused(lambda: auth.refresh(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_expiry_is_real(start_auth: Starter) -> None:
    """The lifetime of both JWT and record ends."""
    auth = start_auth(MG_AUTH_REFRESH_TOKEN_DURATION="2s", MG_AUTH_ACCESS_TOKEN_DURATION="2s")  # noqa: S106
    user = new_user()
    auth.grant(user, "member")
    tokens = auth.issue(user)
    assert refused(lambda: auth.refresh(tokens.refresh_token)) is grpc.StatusCode.OK
    assert len(auth.list_refresh_tokens(user)) == 1
    wait_until(lambda: refused(lambda: auth.refresh(tokens.refresh_token)) is grpc.StatusCode.UNAUTHENTICATED, "expiry")
    assert refused(lambda: auth.authenticate(tokens.access_token)) is grpc.StatusCode.UNAUTHENTICATED
    assert auth.list_refresh_tokens(user) == []


@pytest.fixture
def strict_member(strict: AuthProcess) -> str:
    """Return a user of the strict service."""
    user = new_user()
    strict.grant(user, "member")
    return user


def test_strict_rotates_and_refuses_the_old_token(strict: AuthProcess, strict_member: str) -> None:
    """Refresh gives a new id and the same expiry. The old token becomes invalid."""
    old = strict.issue(strict_member).refresh_token
    new = strict.refresh(old)
    assert claims(new.refresh_token)["jti"] != claims(old)["jti"]
    assert claims(new.access_token)["jti"] == claims(new.refresh_token)["jti"]
    assert claims(new.refresh_token)["exp"] == claims(old)["exp"]
    assert strict.list_refresh_tokens(strict_member) == [(claims(new.refresh_token)["jti"], "")]
    assert refused(lambda: strict.refresh(old)) is grpc.StatusCode.UNAUTHENTICATED
    assert refused(lambda: strict.refresh(new.refresh_token)) is grpc.StatusCode.OK


def test_strict_lets_one_of_many_parallel_uses_pass(strict: AuthProcess, strict_member: str) -> None:
    """Of twenty uses at the same time, one succeeds."""
    old = strict.issue(strict_member).refresh_token
    with ThreadPoolExecutor(20) as callers:
        codes = list(callers.map(lambda _: refused(lambda: strict.refresh(old)), range(20)))
    assert sorted(code.name for code in codes) == ["OK"] + ["UNAUTHENTICATED"] * 19
