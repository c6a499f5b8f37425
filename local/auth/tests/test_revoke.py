"""TokenService.Revoke and ListUserRefreshTokens (contract §1.6.5, contract §4.4, contract §9 S10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from local.auth.tests.process import claims, new_user, refused

if TYPE_CHECKING:
    from local.auth.tests.process import AuthProcess


def test_anybody_can_revoke_anybodys_token(auth: AuthProcess, member: str) -> None:
    """Contract §9 S10."""
    token = auth.issue(member).refresh_token
    auth.revoke(claims(token)["jti"], new_user())
    assert auth.list_refresh_tokens(member) == []
    assert refused(lambda: auth.refresh(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_unknown_id_is_fine(auth: AuthProcess, member: str) -> None:
    """Contract §1.6.4."""
    assert refused(lambda: auth.revoke("no-such-id", member)) is grpc.StatusCode.OK


def test_no_id_is_malformed(auth: AuthProcess, member: str) -> None:
    """Contract §5.4."""
    assert refused(lambda: auth.revoke("", member)) is grpc.StatusCode.INVALID_ARGUMENT


def test_revoking_one_leaves_the_others(auth: AuthProcess, member: str) -> None:
    """Revoke deletes only the record of the named token."""
    first, second = (claims(auth.issue(member).refresh_token)["jti"] for _ in range(2))
    auth.revoke(first, member)
    assert auth.list_refresh_tokens(member) == [(second, "")]


def test_list_is_in_the_order_of_expiry_and_only_the_users_own(auth: AuthProcess, member: str) -> None:
    """The order is ascending expiry (contract §1.6.5)."""
    for name, duration in (("second", "2h"), ("third", "3h"), ("first", "1h"), ("gone", "-1s")):
        auth.command("token", member, "--type", "refresh", "--description", name, "--expires", duration)
    assert [description for _, description in auth.list_refresh_tokens(member)] == ["first", "second", "third"]
    assert auth.list_refresh_tokens(new_user()) == []


def test_list_without_a_user_is_malformed(auth: AuthProcess) -> None:
    """Contract §5.4."""
    assert refused(lambda: auth.list_refresh_tokens("")) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("foreign", [True, False], ids=["foreign", "unknown"])
def test_strict_does_not_revoke_tokens_of_others(strict: AuthProcess, *, foreign: bool) -> None:
    """The answer to another user's id is that to an unknown id."""
    owner = new_user()
    strict.grant(owner, "member")
    token_id = claims(strict.issue(owner).refresh_token)["jti"]
    other = token_id if foreign else new_user()
    assert refused(lambda: strict.revoke(other, new_user())) is grpc.StatusCode.NOT_FOUND
    assert strict.list_refresh_tokens(owner) == [(token_id, "")]
    strict.revoke(token_id, owner)
    assert strict.list_refresh_tokens(owner) == []
