"""AuthService.Authenticate accepts every type of token (contract §5.6; contract §9 S5).

It refuses only revoked PATs and API keys.
"""

from __future__ import annotations

import base64
import re
import uuid
from typing import TYPE_CHECKING

import grpc
import pytest

from local.auth.tests.process import claims, new_user, refused, update

if TYPE_CHECKING:
    from local.auth.tests.process import AuthProcess

_TYPES = {"access": 0, "refresh": 1, "recovery": 2, "invitation": 5}


@pytest.fixture(params=["EdDSA", "HS512"])
def either(request: pytest.FixtureRequest, auth: AuthProcess, hs512: AuthProcess) -> AuthProcess:
    """Return the service in both key modes."""
    return {"EdDSA": auth, "HS512": hs512}[request.param]


@pytest.mark.parametrize("kind", _TYPES)
def test_every_token_type_passes(either: AuthProcess, kind: str) -> None:
    """Contract §9 S5."""
    user = new_user()
    token = either.command("token", user, "--type", kind, "--role", "admin", "--no-verified").stdout.strip()
    answer = either.authenticate(token)
    assert (answer.user_id, answer.user_role, answer.verified) == (user, 2, False)
    assert answer.token_type == _TYPES[kind]
    assert answer.id == claims(token).get("jti", "")


def test_revoked_refresh_token_still_authenticates(auth: AuthProcess, member: str) -> None:
    """Authenticate does not read the records of refresh tokens (contract §9 S9)."""
    token = auth.issue(member).refresh_token
    auth.revoke(claims(token)["jti"], member)
    assert auth.authenticate(token).user_id == member


def test_issued_tokens_pass(either: AuthProcess) -> None:
    """The access tokens of Issue and of Refresh pass in both key modes."""
    user = new_user()
    either.grant(user, "member")
    tokens = either.issue(user, verified=True)
    assert either.authenticate(tokens.access_token).verified is True
    refreshed = either.refresh(tokens.refresh_token, verified=True)
    assert either.authenticate(refreshed.access_token).id == claims(refreshed.access_token)["jti"]


def test_expired_token_is_unauthenticated(either: AuthProcess) -> None:
    """Contract §5.4 `use of expired key`."""
    token = either.command("token", new_user(), "--expires=-1s").stdout.strip()
    assert refused(lambda: either.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_changed_token_is_unauthenticated(either: AuthProcess) -> None:
    """A change of claims or signature makes a token invalid."""
    token = either.command("token", new_user()).stdout.strip()
    head, body, signature = token.split(".")
    other = either.command("token", new_user(), "--role", "admin").stdout.strip().split(".")[1]
    for changed in (f"{head}.{other}.{signature}", f"{head}.{body}.{signature[::-1]}", f"{head}.{body}."):
        assert refused(lambda changed=changed: either.authenticate(changed)) is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[misc]


def test_token_of_another_service_is_unauthenticated(
    auth: AuthProcess, hs512: AuthProcess, strict: AuthProcess
) -> None:
    """The other service has other keys, or another algorithm."""
    for issuer in (hs512, strict):
        token = issuer.command("token", new_user()).stdout.strip()
        assert refused(lambda token=token: auth.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[misc]
    token = auth.command("token", new_user()).stdout.strip()
    assert refused(lambda: hs512.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "pat", "pat_", "pat_x_y", "pat_AAAA_secret"])
def test_garbage_is_unauthenticated(either: AuthProcess, token: str) -> None:
    """Contract §5.4."""
    assert refused(lambda: either.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_no_token_is_malformed(auth: AuthProcess) -> None:
    """Contract §5.4."""
    assert refused(lambda: auth.authenticate("")) is grpc.StatusCode.INVALID_ARGUMENT


def test_pat_has_the_form_of_the_contract(auth: AuthProcess, member: str) -> None:
    """A PAT contains both ids in base64, and 100 random characters (contract §5.6)."""
    made = auth.command("pat", member, "--name", "ci")
    token = made.stdout.strip()
    encoded, secret = re.fullmatch(r"pat_([A-Za-z0-9+/]{43}=)_(.{100})", token).groups()  # type: ignore[union-attr]
    user_id, pat_id = (
        uuid.UUID(bytes=half) for half in (base64.b64decode(encoded)[:16], base64.b64decode(encoded)[16:])
    )
    assert str(user_id) == member
    assert made.stderr.strip() == f"id: {pat_id}"
    assert auth.command("pat", member).stdout.strip()[-100:] != secret


def test_pat_has_the_users_live_role(either: AuthProcess) -> None:
    """A PAT has the role that SpiceDB grants now (contract §5.6). It is never `verified` (contract §9 S12)."""
    user = new_user()
    made = either.command("pat", user)
    answer = either.authenticate(made.stdout.strip())
    assert (answer.user_id, answer.user_role, answer.verified, answer.token_type) == (user, 1, False, 4)
    assert made.stderr.strip() == f"id: {answer.id}"
    either.grant(user, "administrator")
    assert either.authenticate(made.stdout.strip()).user_role == 2
    either.write(update("DELETE", user, "administrator"))
    assert either.authenticate(made.stdout.strip()).user_role == 1


@pytest.mark.parametrize("by", ["id", "token"])
def test_revoked_pat_is_unauthenticated(auth: AuthProcess, member: str, by: str) -> None:
    """Contract §5.4 `token is revoked`."""
    made = auth.command("pat", member)
    token, pat_id = made.stdout.strip(), made.stderr.removeprefix("id: ").strip()
    assert auth.command("revoke-pat", pat_id if by == "id" else token).code == 0
    assert refused(lambda: auth.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_expired_pat_is_unauthenticated(auth: AuthProcess, member: str) -> None:
    """Contract §5.4 `use of expired key`. A PAT passes until its lifetime ends."""
    good, expired = (auth.command("pat", member, f"--expires={expires}").stdout.strip() for expires in ("1h", "-1s"))
    assert auth.authenticate(good).user_id == member
    assert refused(lambda: auth.authenticate(expired)) is grpc.StatusCode.UNAUTHENTICATED


def test_pat_with_another_secret_is_unauthenticated_and_unknown_one_not_found(
    auth: AuthProcess, strict: AuthProcess, member: str
) -> None:
    """An unknown PAT is NOT_FOUND (contract §1.3)."""
    token = auth.command("pat", member).stdout.strip()
    assert refused(lambda: auth.authenticate(token[:-1] + "~")) is grpc.StatusCode.UNAUTHENTICATED
    assert refused(lambda: strict.authenticate(token)) is grpc.StatusCode.NOT_FOUND


def test_pat_of_one_user_cannot_name_another(auth: AuthProcess, member: str, admin: str) -> None:
    """The record binds the token's id to its user."""
    _, encoded, secret = auth.command("pat", member).stdout.strip().split("_", 2)
    forged = base64.b64encode(uuid.UUID(admin).bytes + base64.b64decode(encoded)[16:]).decode()
    assert refused(lambda: auth.authenticate(f"pat_{forged}_{secret}")) is grpc.StatusCode.NOT_FOUND


def test_pat_needs_a_uuid(auth: AuthProcess) -> None:
    """The token contains 16 bytes of the user's id (contract §5.6)."""
    assert auth.command("pat", "not-a-uuid").code == 2


def test_api_key_passes_until_revoked(either: AuthProcess) -> None:
    """API keys have type 3 (contract §5.3). A command revokes them."""
    user = new_user()
    made = either.command("api-key", user, "--name", "sensor")
    token, key_id = made.stdout.strip(), made.stderr.removeprefix("id: ").strip()
    assert "exp" not in claims(token)
    answer = either.authenticate(token)
    assert (answer.id, answer.user_id, answer.token_type) == (key_id, user, 3)
    assert either.command("revoke-api-key", key_id).code == 0
    assert refused(lambda: either.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_expired_api_key_is_unauthenticated(auth: AuthProcess, member: str) -> None:
    """Contract §5.4 `use of expired key`."""
    token = auth.command("api-key", member, "--expires=-1s").stdout.strip()
    assert refused(lambda: auth.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


def test_api_key_without_a_role_is_refused_by_its_own_service(
    auth: AuthProcess, strict: AuthProcess, member: str
) -> None:
    """The real service signs role 0 at `POST /keys`, and refuses it at every reading (tokenizer/util/jwt.go)."""
    for service, code in ((auth, grpc.StatusCode.UNAUTHENTICATED), (strict, grpc.StatusCode.OK)):
        token = service.command("api-key", member, "--role", "none").stdout.strip()
        assert claims(token)["role"] == 0
        assert refused(lambda token=token, service=service: service.authenticate(token)) is code  # type: ignore[misc]


def test_issued_api_key_can_be_revoked(auth: AuthProcess, member: str) -> None:
    """Issue records its API keys, as the command does."""
    token = auth.issue(member, kind=3, description="sensor").access_token
    assert auth.authenticate(token).token_type == 3
    assert auth.command("revoke-api-key", claims(token)["jti"]).code == 0
    assert refused(lambda: auth.authenticate(token)) is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("command", ["revoke-pat", "revoke-api-key"])
def test_revoking_an_unknown_id_fails(auth: AuthProcess, command: str) -> None:
    """The exit code is 1, and stderr contains the id."""
    unknown = new_user()
    output = auth.command(command, unknown)
    assert output.code == 1
    assert unknown in output.stderr


def test_minted_refresh_token_is_a_real_one(auth: AuthProcess, member: str) -> None:
    """`token --type refresh` records its token. So other tests prove a refusal with a valid token."""
    token = auth.command("token", member, "--type", "refresh").stdout.strip()
    assert refused(lambda: auth.refresh(token)) is grpc.StatusCode.OK
