"""The calls of authzed.api.v1.PermissionsService that the Users service makes (contract §5.8)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from authzed.api.v1 import core_pb2 as core
from authzed.api.v1 import permission_service_pb2 as permissions

from local.auth.tests.process import bearer, new_user, refused, relationship, update

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.auth.tests.process import AuthProcess


def _check(auth: AuthProcess, user: str, permission: str) -> bool:
    request = permissions.CheckPermissionRequest(
        resource=core.ObjectReference(object_type="platform", object_id="magistrala"),
        permission=permission,
        subject=core.SubjectReference(object=core.ObjectReference(object_type="user", object_id=user)),
    )
    answer = auth.spicedb.CheckPermission(request, metadata=bearer(), timeout=10)
    return answer.permissionship == permissions.CheckPermissionResponse.PERMISSIONSHIP_HAS_PERMISSION


def _read(auth: AuthProcess, **matching: Any) -> list[str]:
    request = permissions.ReadRelationshipsRequest(relationship_filter=permissions.RelationshipFilter(**matching))
    found = auth.spicedb.ReadRelationships(request, metadata=bearer(), timeout=10)
    return [
        f"{one.relationship.resource.object_type}:{one.relationship.resource.object_id}"
        f"#{one.relationship.relation}@{one.relationship.subject.object.object_id}"
        for one in found
    ]


def _of(user: str) -> permissions.SubjectFilter:
    return permissions.SubjectFilter(subject_type="user", optional_subject_id=user)


def _delete(auth: AuthProcess, **matching: Any) -> int:
    request = permissions.DeleteRelationshipsRequest(relationship_filter=permissions.RelationshipFilter(**matching))
    answer = auth.spicedb.DeleteRelationships(request, metadata=bearer(), timeout=10)
    return answer.relationships_deleted_count


def _calls(auth: AuthProcess) -> list[Callable[[Any], object]]:
    user = new_user()
    matching = permissions.RelationshipFilter(resource_type="platform")
    platform = core.ObjectReference(object_type="platform", object_id="magistrala")
    subject = core.SubjectReference(object=core.ObjectReference(object_type="user", object_id=user))
    write = permissions.WriteRelationshipsRequest(updates=[update("CREATE", user, "member")])
    delete = permissions.DeleteRelationshipsRequest(relationship_filter=matching)
    check = permissions.CheckPermissionRequest(resource=platform, permission="admin", subject=subject)
    read = permissions.ReadRelationshipsRequest(relationship_filter=matching)
    return [
        lambda metadata: auth.spicedb.WriteRelationships(write, metadata=metadata, timeout=10),
        lambda metadata: auth.spicedb.DeleteRelationships(delete, metadata=metadata, timeout=10),
        lambda metadata: auth.spicedb.CheckPermission(check, metadata=metadata, timeout=10),
        lambda metadata: list(auth.spicedb.ReadRelationships(read, metadata=metadata, timeout=10)),
    ]


@pytest.mark.parametrize(
    "metadata",
    [None, bearer("wrong"), bearer(""), (("authorization", "Basic x"),)],
    ids=["none", "wrong", "empty", "basic"],
)
def test_every_call_needs_the_preshared_key(auth: AuthProcess, admin: str, metadata: Any) -> None:
    """Without the key, a call has no effect, not even a delete of all relationships."""
    for call in _calls(auth):
        assert refused(lambda call=call: call(metadata)) is grpc.StatusCode.UNAUTHENTICATED  # type: ignore[misc]
    assert _check(auth, admin, "admin")


def test_create_refuses_an_existing_relationship_and_writes_nothing(auth: AuthProcess, member: str) -> None:
    """CREATE fails if the relationship exists, and a write is one transaction (contract §5.8)."""
    code = refused(lambda: auth.grant(member, "administrator", "member"))
    assert code is grpc.StatusCode.ALREADY_EXISTS
    assert not _check(auth, member, "admin")


def test_touch_is_idempotent(auth: AuthProcess) -> None:
    """TOUCH of an existing relationship succeeds."""
    user = new_user()
    for _ in range(2):
        auth.write(update("TOUCH", user, "member"))
    assert _read(auth, resource_type="platform", optional_subject_filter=_of(user)) == [
        f"platform:magistrala#member@{user}"
    ]


def test_delete_update_is_idempotent(auth: AuthProcess, member: str) -> None:
    """DELETE of an absent relationship succeeds."""
    for _ in range(2):
        auth.write(update("DELETE", member, "member"))
    assert not _check(auth, member, "membership")


def test_parallel_creates_let_one_pass(auth: AuthProcess) -> None:
    """CREATE is exclusive between connections, too."""
    user = new_user()
    with ThreadPoolExecutor(8) as callers:
        codes = list(callers.map(lambda _: refused(lambda: auth.grant(user, "member")).name, range(8)))
    assert sorted(codes) == ["ALREADY_EXISTS"] * 7 + ["OK"]


def test_delete_by_filter_of_a_demotion(auth: AuthProcess, admin: str) -> None:
    """The filter is (platform, magistrala, administrator, user:id) (contract §5.8)."""
    demotion: dict[str, Any] = {
        "resource_type": "platform",
        "optional_resource_id": "magistrala",
        "optional_relation": "administrator",
        "optional_subject_filter": _of(admin),
    }
    assert _delete(auth, **demotion) == 1
    assert not _check(auth, admin, "admin")
    assert _check(auth, admin, "membership")
    assert _delete(auth, **demotion) == 0


def test_delete_by_subject_of_a_purge(auth: AuthProcess, admin: str, member: str) -> None:
    """An empty resource type matches any resource of one subject (contract §5.8)."""
    assert _delete(auth, optional_subject_filter=_of(admin)) == 2
    assert not _check(auth, admin, "membership")
    assert _check(auth, member, "membership")


def test_empty_filter_is_refused(auth: AuthProcess, member: str) -> None:
    """An empty filter does not match everything."""
    assert refused(lambda: _delete(auth)) is grpc.StatusCode.INVALID_ARGUMENT
    subject = permissions.SubjectFilter(optional_subject_id=member)
    code = refused(lambda: _delete(auth, resource_type="platform", optional_subject_filter=subject))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert _check(auth, member, "membership")


def test_permissions_of_the_schema(auth: AuthProcess) -> None:
    """The schema is admin = administrator, membership = administrator + member (contract §5.8)."""
    member, administrator, stranger = new_user(), new_user(), new_user()
    auth.grant(member, "member")
    auth.grant(administrator, "administrator")
    allowed = {
        user: [_check(auth, user, name) for name in ("admin", "membership")]
        for user in (member, administrator, stranger)
    }
    assert allowed == {member: [False, True], administrator: [True, True], stranger: [False, False]}


def test_read_lists_what_matches(auth: AuthProcess, admin: str) -> None:
    """A filter matches all relationships of a user, or those of one relation."""
    every = [f"platform:magistrala#{relation}@{admin}" for relation in ("administrator", "member")]
    assert _read(auth, optional_subject_filter=_of(admin)) == every
    assert (
        _read(auth, resource_type="platform", optional_relation="member", optional_subject_filter=_of(admin))
        == every[1:]
    )


def test_names_outside_the_schema_are_a_failed_precondition(auth: AuthProcess) -> None:
    """SpiceDB answers so, too. It shows a typing mistake in a client."""
    user = new_user()
    assert refused(lambda: auth.grant(user, "owner")) is grpc.StatusCode.FAILED_PRECONDITION
    assert refused(lambda: _check(auth, user, "view")) is grpc.StatusCode.FAILED_PRECONDITION
    assert refused(lambda: _delete(auth, resource_type="thing")) is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("user", ["", "*", "a b", "a\0b", "x" * 1025])
def test_ids_that_spicedb_does_not_take(auth: AuthProcess, user: str) -> None:
    """An empty id does not match everybody."""
    assert refused(lambda: auth.grant(user, "member")) is grpc.StatusCode.INVALID_ARGUMENT


def test_wrong_updates_are_refused(auth: AuthProcess) -> None:
    """The updates have no operation, the same relationship twice, and a subject of another type."""
    user = new_user()
    bare = core.RelationshipUpdate(relationship=relationship(user, "member"))
    assert refused(lambda: auth.write(bare)) is grpc.StatusCode.INVALID_ARGUMENT
    twice = [update("TOUCH", user, "member"), update("DELETE", user, "member")]
    assert refused(lambda: auth.write(*twice)) is grpc.StatusCode.INVALID_ARGUMENT
    other = update("CREATE", user, "member")
    other.relationship.subject.object.object_type = "platform"
    assert refused(lambda: auth.write(other)) is grpc.StatusCode.INVALID_ARGUMENT


def test_missing_features_are_unimplemented(auth: AuthProcess, member: str) -> None:
    """The call fails instead of a wrong answer."""
    conditional = permissions.WriteRelationshipsRequest(
        updates=[update("DELETE", member, "member")], optional_preconditions=[permissions.Precondition()]
    )
    code = refused(lambda: auth.spicedb.WriteRelationships(conditional, metadata=bearer(), timeout=10))
    assert code is grpc.StatusCode.UNIMPLEMENTED
    assert _check(auth, member, "membership")
