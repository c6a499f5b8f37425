"""The relations of users to the platform, in SpiceDB (contract §5.8). Without ``MG_SPICEDB_HOST`` nothing is called."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from users.aws.secrets import secret
from users.errors import Unavailable
from users.models import Role
from users.settings import settings
from users.snapstart import not_in_snapshots
from users.telemetry.tracing import call_span

_SERVICE = "authzed.api.v1.PermissionsService"


def grant(user_id: str, role: int) -> None:
    """Make the user a member of the platform, and its administrator when ``role`` is admin. It may run again.

    Unavailable when SpiceDB does not accept it, for any reason. The caller has already committed, and repairs.
    """
    grant_all({user_id: role})


def grant_all(roles: Mapping[str, int]) -> None:
    """Grant many users their roles, by id: all of them or none. SpiceDB accepts 1000 relations in one call."""
    _write(
        {
            (user_id, relation): True
            for user_id, role in roles.items()
            for relation in (["member", "administrator"] if role == Role.ADMIN else ["member"])
        }
    )


def align(user_id: str, role: int | None) -> None:
    """Make the user's relations match the role. None removes all of them. Unavailable."""
    if role is None:
        revoke_everything(user_id)
    else:
        _write({(user_id, "member"): True, (user_id, "administrator"): role == Role.ADMIN})


def revoke_administration(user_id: str) -> None:
    """Remove the administrator relation, if there is one. Unavailable when SpiceDB does not confirm it."""
    _delete("platform", "magistrala", "administrator", user_id)


def revoke_everything(user_id: str) -> None:
    """Remove all relations of the user, to any resource. Unavailable when SpiceDB does not confirm it."""
    _delete("", "", "", user_id)


@not_in_snapshots
def close() -> None:
    """Close the channel. The next call opens another."""
    if _channel.cache_info().currsize:
        _channel().close()
        _channel.cache_clear()
    _permissions.cache_clear()


def check_health() -> None:
    """Raise Unavailable unless SpiceDB reports that it serves."""
    from users.peers.grpc_channel import check_serving

    check_serving(_channel(), "", "spicedb")


def _write(held: Mapping[tuple[str, str], bool]) -> None:
    """Write or delete relations to the platform, by user and relation: all of them or none."""
    if not settings().spicedb_host or not held:
        return
    import grpc  # takes 100 ms with the stubs, so only where SpiceDB is configured
    from authzed.api.v1 import (
        ObjectReference,
        Relationship,
        RelationshipUpdate,
        SubjectReference,
        WriteRelationshipsRequest,
    )

    updates = [
        RelationshipUpdate(
            operation=RelationshipUpdate.OPERATION_TOUCH if is_held else RelationshipUpdate.OPERATION_DELETE,
            relationship=Relationship(
                resource=ObjectReference(object_type="platform", object_id="magistrala"),
                relation=relation,
                subject=SubjectReference(object=ObjectReference(object_type="user", object_id=user_id)),
            ),
        )
        for (user_id, relation), is_held in held.items()
    ]
    try:
        with call_span(f"{_SERVICE}/WriteRelationships") as metadata:
            _permissions().WriteRelationships(
                WriteRelationshipsRequest(updates=updates),
                timeout=settings().spicedb_timeout,
                metadata=(*_bearer(), *metadata),
            )
    except grpc.RpcError as error:
        raise Unavailable("spicedb", error.code().name) from error


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
        with call_span(f"{_SERVICE}/DeleteRelationships") as metadata:
            _permissions().DeleteRelationships(
                DeleteRelationshipsRequest(relationship_filter=condition),
                timeout=settings().spicedb_timeout,
                metadata=(*_bearer(), *metadata),
            )
    except grpc.RpcError as error:
        raise Unavailable("spicedb", error.code().name) from error


def _bearer() -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret(settings().spicedb_pre_shared_key)}"),)


@cache
def _permissions() -> Any:
    from authzed.api.v1.permission_service_pb2_grpc import PermissionsServiceStub

    return PermissionsServiceStub(_channel())


@cache
def _channel() -> Any:
    import grpc

    s = settings()
    options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
    return grpc.insecure_channel(f"{s.spicedb_host}:{s.spicedb_port}", options=options)
