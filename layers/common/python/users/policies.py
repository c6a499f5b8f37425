"""A user's relations to the platform, in SpiceDB (contract §5.8). Without ``MG_SPICEDB_HOST`` nothing is written."""

from functools import cache
from typing import Any

from users.errors import Unavailable
from users.models import Role
from users.settings import settings


def grant(user_id: str, role: int) -> None:
    """Make the user a member of the platform, and its administrator when ``role`` is admin. TOUCH: safe to repeat.

    Unavailable when SpiceDB does not take it, for whatever reason: the caller has committed already, and repairs.
    """
    if not settings().spicedb_host:
        return
    import grpc  # with the stubs 100 ms at import; not configured, not paid
    from authzed.api.v1 import (
        ObjectReference,
        Relationship,
        RelationshipUpdate,
        SubjectReference,
        WriteRelationshipsRequest,
    )

    relations = ["member", "administrator"] if role == Role.ADMIN else ["member"]
    updates = [
        RelationshipUpdate(
            operation=RelationshipUpdate.OPERATION_TOUCH,
            relationship=Relationship(
                resource=ObjectReference(object_type="platform", object_id="magistrala"),
                relation=relation,
                subject=SubjectReference(object=ObjectReference(object_type="user", object_id=user_id)),
            ),
        )
        for relation in relations
    ]
    try:
        _permissions().WriteRelationships(
            WriteRelationshipsRequest(updates=updates),
            timeout=settings().auth_grpc_timeout,
            metadata=_bearer(),
        )
    except grpc.RpcError as error:
        raise Unavailable("spicedb") from error


def revoke_administration(user_id: str) -> None:
    """Take the administrator relation away; none is fine. Unavailable when SpiceDB does not do it."""
    _delete("platform", "magistrala", "administrator", user_id)


def revoke_everything(user_id: str) -> None:
    """Take all relations of the user away, to whatever resource; Unavailable when SpiceDB does not do it."""
    _delete("", "", "", user_id)


def _delete(resource_type: str, resource_id: str, relation: str, user_id: str) -> None:
    if not settings().spicedb_host:
        return
    import grpc
    from authzed.api.v1 import DeleteRelationshipsRequest, RelationshipFilter, SubjectFilter

    condition = RelationshipFilter(
        resource_type=resource_type,
        optional_resource_id=resource_id,
        optional_relation=relation,
        optional_subject_filter=SubjectFilter(subject_type="user", optional_subject_id=user_id),
    )
    try:
        _permissions().DeleteRelationships(
            DeleteRelationshipsRequest(relationship_filter=condition),
            timeout=settings().auth_grpc_timeout,
            metadata=_bearer(),
        )
    except grpc.RpcError as error:
        raise Unavailable("spicedb") from error


def _bearer() -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {settings().spicedb_pre_shared_key}"),)


@cache
def _permissions() -> Any:
    import grpc
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

    s = settings()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
    return PermissionsServiceStub(grpc.insecure_channel(f"{s.spicedb_host}:{s.spicedb_port}", options=options))
