"""gRPC: the calls of authzed.api.v1.PermissionsService that the Users service makes (contract §5.8).

SpiceDB's further features (preconditions, caveats, expiry, limits of a delete) are answered UNIMPLEMENTED.
"""

from __future__ import annotations

import hmac
import re
import time
from typing import TYPE_CHECKING

import grpc
from authzed.api.v1 import core_pb2 as core
from authzed.api.v1 import permission_service_pb2 as permissions

from local.auth import relationships
from local.auth.auth_api import add_health
from local.auth.errors import MalformedRequest, NotOffered, Unauthenticated
from local.auth.grpc_edge import Edge
from local.auth.relationships import Relationship, RelationshipFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.auth.database import Database
    from local.auth.faults import Faults

SERVICE = "authzed.api.v1.PermissionsService"

_OBJECT_ID = re.compile(r"[a-zA-Z0-9/_|\-=+]{1,1024}")
_Update = core.RelationshipUpdate


def add_permissions_service(server: grpc.Server, database: Database, preshared_key: str, faults: Faults) -> None:
    """Serve the calls for bearers of the key; health is open to all, as SpiceDB's."""
    edge = Edge(SERVICE, database_away=grpc.StatusCode.UNAVAILABLE, admit=_bearer_check(preshared_key), faults=faults)

    def write(request: permissions.WriteRelationshipsRequest) -> permissions.WriteRelationshipsResponse:
        _write(database, request)
        return permissions.WriteRelationshipsResponse(written_at=_zed_token())

    def delete(request: permissions.DeleteRelationshipsRequest) -> permissions.DeleteRelationshipsResponse:
        if request.optional_preconditions or request.optional_limit:
            raise NotOffered("preconditions and limits of a delete are not offered here")
        matching = _filter(request.relationship_filter)
        with database.transaction() as connection:
            count = relationships.delete(connection, matching)
        complete = permissions.DeleteRelationshipsResponse.DELETION_PROGRESS_COMPLETE
        return permissions.DeleteRelationshipsResponse(
            deleted_at=_zed_token(), deletion_progress=complete, relationships_deleted_count=count
        )

    def check(request: permissions.CheckPermissionRequest) -> permissions.CheckPermissionResponse:
        subject = request.subject.object
        _check_ids(request.resource.object_id, subject.object_id)
        with database.transaction() as connection:
            permitted = relationships.permits(
                connection,
                (request.resource.object_type, request.resource.object_id),
                request.permission,
                (subject.object_type, subject.object_id),
            )
        answer = permissions.CheckPermissionResponse
        return answer(
            checked_at=_zed_token(),
            permissionship=answer.PERMISSIONSHIP_HAS_PERMISSION if permitted else answer.PERMISSIONSHIP_NO_PERMISSION,
        )

    def read(request: permissions.ReadRelationshipsRequest) -> list[permissions.ReadRelationshipsResponse]:
        if request.HasField("optional_cursor"):
            raise NotOffered("cursors are not offered here")
        matching = _filter(request.relationship_filter)
        with database.transaction() as connection:
            found = relationships.read(connection, matching, request.optional_limit or None)
        read_at = _zed_token()
        return [permissions.ReadRelationshipsResponse(read_at=read_at, relationship=_message(one)) for one in found]

    edge.unary("WriteRelationships", permissions.WriteRelationshipsRequest, write)
    edge.unary("DeleteRelationships", permissions.DeleteRelationshipsRequest, delete)
    edge.unary("CheckPermission", permissions.CheckPermissionRequest, check)
    edge.server_stream("ReadRelationships", permissions.ReadRelationshipsRequest, read)
    server.add_generic_rpc_handlers((edge.handler(),))
    add_health(server, SERVICE)


def _bearer_check(preshared_key: str) -> Callable[[grpc.ServicerContext], None]:
    expected = preshared_key.encode()

    def check(context: grpc.ServicerContext) -> None:
        values = [value for key, value in context.invocation_metadata() if key == "authorization"]
        scheme, _, key = str(values[0]).partition(" ") if values else ("", "", "")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), expected):
            raise Unauthenticated("invalid preshared key")

    return check


def _write(database: Database, request: permissions.WriteRelationshipsRequest) -> None:
    """Apply all updates or none of them."""
    if request.optional_preconditions:
        raise NotOffered("preconditions are not offered here")
    changes = [(update.operation, _relationship(update.relationship)) for update in request.updates]
    if len({relationship for _, relationship in changes}) != len(changes):
        raise MalformedRequest("found more than one update for one relationship in this request")
    with database.transaction() as connection:
        for operation, relationship in changes:
            if operation == _Update.OPERATION_CREATE:
                relationships.create(connection, relationship)
            elif operation == _Update.OPERATION_TOUCH:
                relationships.touch(connection, relationship)
            elif operation == _Update.OPERATION_DELETE:
                relationships.delete(connection, RelationshipFilter(*relationship))
            else:
                raise MalformedRequest("an update has no operation")


def _relationship(message: core.Relationship) -> Relationship:
    """The relationship that a message names, checked against the schema."""
    if message.HasField("optional_caveat") or message.HasField("optional_expires_at"):
        raise NotOffered("caveats and expiry are not offered here")
    resource, subject = message.resource, message.subject.object
    _check_ids(resource.object_id, subject.object_id)
    relationships.check_relation(resource.object_type, message.relation)
    relationships.check_object_type(subject.object_type)
    allowed = relationships.subject_type_of(resource.object_type, message.relation)
    if subject.object_type != allowed or message.subject.optional_relation:
        raise MalformedRequest(f"subjects of this type are not allowed on relation `{message.relation}`")
    return Relationship(
        resource.object_type, resource.object_id, message.relation, subject.object_type, subject.object_id
    )


def _check_ids(*object_ids: str) -> None:
    if not all(_OBJECT_ID.fullmatch(object_id) for object_id in object_ids):
        raise MalformedRequest("an object id is empty or has a character that ids cannot have")


def _filter(message: permissions.RelationshipFilter) -> RelationshipFilter:
    """The filter that a message asks for; the resource type may be empty, the whole filter may not."""
    subject = message.optional_subject_filter
    if message.optional_resource_id_prefix or subject.HasField("optional_relation"):
        raise NotOffered("filters by id prefix and by a subject's relation are not offered here")
    matching = RelationshipFilter(
        message.resource_type,
        message.optional_resource_id,
        message.optional_relation,
        subject.subject_type,
        subject.optional_subject_id,
    )
    if not any(matching):
        raise MalformedRequest("the relationship filter is empty")
    if message.HasField("optional_subject_filter") and not subject.subject_type:
        raise MalformedRequest("a subject filter needs a subject type")
    for object_type in filter(None, (matching.resource_type, matching.subject_type)):
        relationships.check_object_type(object_type)
    if matching.resource_type and matching.relation:
        relationships.check_relation(matching.resource_type, matching.relation)
    return matching


def _message(relationship: Relationship) -> core.Relationship:
    return core.Relationship(
        resource=core.ObjectReference(object_type=relationship.resource_type, object_id=relationship.resource_id),
        relation=relationship.relation,
        subject=core.SubjectReference(
            object=core.ObjectReference(object_type=relationship.subject_type, object_id=relationship.subject_id)
        ),
    )


def _zed_token() -> core.ZedToken:
    return core.ZedToken(token=str(time.time_ns()))  # opaque to clients; every read here is of the newest state
