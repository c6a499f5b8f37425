"""TokenService.Issue: types, roles, claims and lifetimes (contract §5.3 and contract §5.5)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import grpc
import psycopg
import pytest

from local.auth.tests.process import claims, header, new_user, refused

if TYPE_CHECKING:
    from local.auth.tests.process import AuthProcess


def test_access_token_has_exactly_the_claims_of_login(auth: AuthProcess, member: str) -> None:
    """The access token of a login has no jti, times in seconds, and the requested role and verified (contract §5.5)."""
    before = int(time.time())
    token = auth.issue(member, verified=True).access_token
    after = int(time.time())
    content = claims(token)
    assert before <= content.pop("iat") <= after
    assert before + 3600 <= content.pop("exp") <= after + 3600
    assert content == {"iss": "magistrala.auth", "type": 0, "role": 1, "verified": True, "sub": member}
    assert header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": "active"}


def test_refresh_token_has_an_id_and_is_listed_with_its_description(auth: AuthProcess, member: str) -> None:
    """A refresh token has a jti (contract §5.5). Auth records its id and description (contract §4.4)."""
    token = auth.issue(member, description="my phone").refresh_token
    content = claims(token)
    assert content["exp"] - content["iat"] == 24 * 3600
    assert (content["type"], content["role"], content["verified"]) == (1, 1, False)
    assert auth.list_refresh_tokens(member) == [(content["jti"], "my phone")]


def test_access_type_is_never_filled(auth: AuthProcess, member: str) -> None:
    """Contract §1.6.2."""
    assert auth.issue(member).access_type == ""


@pytest.mark.parametrize(("kind", "lifetime"), [(2, 5 * 60), (5, 168 * 3600)])
def test_recovery_and_invitation_come_alone(auth: AuthProcess, member: str, kind: int, lifetime: int) -> None:
    """Recovery lasts 5 minutes, an invitation 168 hours. Neither brings a refresh token (contract §5.5)."""
    answer = auth.issue(member, kind=kind)
    content = claims(answer.access_token)
    assert content["type"] == kind
    assert content["exp"] - content["iat"] == lifetime
    assert "jti" not in content
    assert not answer.HasField("refresh_token")
    assert auth.list_refresh_tokens(member) == []


def test_api_key_has_an_id_and_no_end(auth: AuthProcess, member: str) -> None:
    """API keys have type 3 (contract §5.3)."""
    content = claims(auth.issue(member, kind=3).access_token)
    assert content["jti"]
    assert "exp" not in content


@pytest.mark.parametrize("kind", [1, 4, 6, 4_294_967_295])
def test_other_types_are_invalid(auth: AuthProcess, member: str, kind: int) -> None:
    """Issue accepts only the types 0, 2, 3 and 5 (contract §5.3)."""
    assert refused(lambda: auth.issue(member, kind=kind)) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("kind", [0, 2, 3, 5])
@pytest.mark.parametrize("role", [1, 2])
def test_role_without_its_relation_is_internal(auth: AuthProcess, role: int, kind: int) -> None:
    """Issue checks the role in SpiceDB again, and answers INTERNAL (contract §5.5 and contract §2.4)."""
    assert refused(lambda: auth.issue(new_user(), role=role, kind=kind)) is grpc.StatusCode.INTERNAL


def test_member_cannot_get_an_admin_token(auth: AuthProcess, member: str) -> None:
    """Role 2 needs the permission admin (contract §5.5)."""
    assert refused(lambda: auth.issue(member, role=2)) is grpc.StatusCode.INTERNAL


def test_administrator_alone_is_a_member_too(auth: AuthProcess) -> None:
    """The first admin has no member relation (contract §4.9). membership = administrator + member (contract §5.8)."""
    user = new_user()
    auth.grant(user, "administrator")
    assert claims(auth.issue(user, role=2).access_token)["role"] == 2
    assert claims(auth.issue(user, role=1).access_token)["role"] == 1


def test_other_roles_are_not_checked_and_make_an_unusable_token(auth: AuthProcess) -> None:
    """Issue signs role 3 without a check, and the validation of claims refuses it (contract §9 B3)."""
    token = auth.issue(new_user(), role=3).access_token
    assert claims(token)["role"] == 3
    assert refused(lambda: auth.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_text_that_postgresql_cannot_hold_is_malformed(auth: AuthProcess, member: str) -> None:
    """A NUL byte is a mistake of the caller, not a failure of the database."""
    assert refused(lambda: auth.issue(member, description="a\0b")) is grpc.StatusCode.INVALID_ARGUMENT


def test_expired_refresh_tokens_leave_the_table(auth: AuthProcess, member: str) -> None:
    """Upstream, Redis' time to live deletes them."""
    auth.command("token", member, "--type", "refresh", "--expires=-1h")
    auth.issue(member)
    with psycopg.connect(auth.variables["MG_AUTH_DB_URL"]) as connection:
        row = connection.execute("SELECT count(*) FROM auth.refresh_tokens WHERE user_id = %s", [member]).fetchone()
    assert row == (1,)
