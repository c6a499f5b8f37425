"""AuthService.Authorize on platform:magistrala (contract §5.4 and contract §5.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest

from local.auth import wire
from local.auth.tests.process import new_user, refused, update

if TYPE_CHECKING:
    from local.auth.tests.process import AuthProcess


@pytest.mark.parametrize(
    ("relations", "permission", "code"),
    [
        ((), "admin", grpc.StatusCode.PERMISSION_DENIED),
        ((), "membership", grpc.StatusCode.PERMISSION_DENIED),
        (("member",), "admin", grpc.StatusCode.PERMISSION_DENIED),
        (("member",), "membership", grpc.StatusCode.OK),
        (("administrator",), "admin", grpc.StatusCode.OK),
        (("administrator",), "membership", grpc.StatusCode.OK),
    ],
)
def test_relations_decide(
    auth: AuthProcess, relations: tuple[str, ...], permission: str, code: grpc.StatusCode
) -> None:
    """The schema is admin = administrator, membership = administrator + member (contract §5.8)."""
    user = new_user()
    if relations:
        auth.grant(user, *relations)
    assert refused(lambda: auth.authorize(user, permission)) is code


def test_answer_contains_the_grant(auth: AuthProcess, admin: str) -> None:
    """AuthZRes contains `authorized` (contract §5.2). The request has the subject kind that a role change sends."""
    assert auth.authorize(admin, subject_kind="users").authorized is True


def test_removed_relation_denies_at_once(auth: AuthProcess, admin: str) -> None:
    """Authorize denies a demoted admin whose token still contains the role admin (contract §9 S29)."""
    auth.write(update("DELETE", admin, "administrator"))
    assert refused(lambda: auth.authorize(admin)) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("changes", [{"permission": "view"}, {"object_type": "domain"}, {"object": "other"}])
def test_names_outside_the_schema_are_denied(auth: AuthProcess, admin: str, changes: dict[str, str]) -> None:
    """Upstream answers PERMISSION_DENIED to every failure of the policy store."""
    assert refused(lambda: auth.authorize(admin, **changes)) is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("missing", ["subject_type", "subject", "permission", "object_type", "object"])
def test_missing_part_is_malformed(auth: AuthProcess, admin: str, missing: str) -> None:
    """Contract §5.4."""
    assert refused(lambda: auth.authorize(admin, **{missing: ""})) is grpc.StatusCode.INVALID_ARGUMENT


def test_pat_never_permits(auth: AuthProcess, admin: str) -> None:
    """PATs cannot have a scope for users, so Authorize denies every role change by a PAT (contract §5.4)."""
    request = wire.AuthZReq(
        policy_req=wire.PolicyReq(
            subject_type="user", subject=admin, permission="admin", object_type="platform", object="magistrala"
        ),
        pat_req=wire.PATReq(user_id=admin, pat_id=new_user(), entity_id=admin, entity_type="users"),
    )
    code = refused(lambda: auth.call("auth.v1.AuthService/Authorize", request, wire.AuthZRes))
    assert code is grpc.StatusCode.PERMISSION_DENIED
