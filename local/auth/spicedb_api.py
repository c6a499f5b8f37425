"""gRPC: the calls of authzed.api.v1.PermissionsService that the Users service makes (contract §5.8).

Calls that need other features of SpiceDB get UNIMPLEMENTED.
"""

from __future__ import annotations

import hmac
import time
from typing import TYPE_CHECKING

import grpc
from authzed.api.v1 import core_pb2 as core
from authzed.api.v1 import permission_service_pb2 as permissions

from local.auth import relationships
from local.auth.errors import MalformedRequest, NotOffered, Unauthenticated
from local.auth.grpc_edge import Edge
from local.auth.relationships import RelationshipFilter
from local.auth.spicedb_messages import as_message, check_ids, read_filter, read_relationship

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.auth.database import Database
    from local.auth.faults import Faults

PERMISSIONS_SERVICE = "authzed.api.v1.PermissionsService"

_Update = core.RelationshipUpdate


def permissions_service(database: Database, preshared_key: str, faults: Faults) -> grpc.GenericRpcHandler:
    """Return the service, for callers that send the preshared key."""
    edge = Edge(
        PERMISSIONS_SERVICE,
        database_away=grpc.StatusCode.UNAVAILABLE,
        admit=_bearer_check(preshared_key),
        faults=faults,
    )
    calls = _Calls(database)
    edge.unary("WriteRelationships", permissions.WriteRelationshipsRequest, calls.write)
    edge.unary("DeleteRelationships", permissions.DeleteRelationshipsRequest, calls.delete)
    edge.unary("CheckPermission", permissions.CheckPermissionRequest, calls.check)
    edge.server_stream("ReadRelationships", permissions.ReadRelationshipsRequest, calls.read)
    return edge.handler()


def _bearer_check(preshared_key: str) -> Callable[[grpc.ServicerContext], None]:
    expected = preshared_key.encode()

    def check(context: grpc.ServicerContext) -> None:
        values = [value for key, value in context.invocation_metadata() if key == "authorization"]
        scheme, _, key = str(values[0]).partition(" ") if values else ("", "", "")
        if scheme.lower() != "bearer" or not hmac.compare_digest(key.encode(), expected):
            raise Unauthenticated("invalid preshared key")

    return check


class _Calls:
    """The calls over the relationships on record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, request: permissions.WriteRelationshipsRequest) -> permissions.WriteRelationshipsResponse:
        """Apply all updates or none of them."""
        if request.optional_preconditions:
            raise NotOffered("preconditions are not offered here")
        changes = [(update.operation, read_relationship(update.relationship)) for update in request.updates]
        if len({relationship for _, relationship in changes}) != len(changes):
            raise MalformedRequest("found more than one update for one relationship in this request")
        with self._database.transaction() as connection:
            for operation, relationship in changes:
                if operation == _Update.OPERATION_CREATE:
                    relationships.create(connection, relationship)
                elif operation == _Update.OPERATION_TOUCH:
                    relationships.touch(connection, relationship)
                elif operation == _Update.OPERATION_DELETE:
                    relationships.delete(connection, RelationshipFilter(*relationship))
                else:
                    raise MalformedRequest("an update has no operation")
        return permissions.WriteRelationshipsResponse(written_at=_zed_token())

    def delete(self, request: permissions.DeleteRelationshipsRequest) -> permissions.DeleteRelationshipsResponse:
        """Delete the relationships that match a filter."""
        if request.optional_preconditions or request.optional_limit:
            raise NotOffered("preconditions and limits of a delete are not offered here")
        matching = read_filter(request.relationship_filter)
        with self._database.transaction() as connection:
            count = relationships.delete(connection, matching)
        complete = permissions.DeleteRelationshipsResponse.DELETION_PROGRESS_COMPLETE
        return permissions.DeleteRelationshipsResponse(
            deleted_at=_zed_token(), deletion_progress=complete, relationships_deleted_count=count
        )

    def check(self, request: permissions.CheckPermissionRequest) -> permissions.CheckPermissionResponse:
        """Check one permission of one subject."""
        subject = request.subject.object
        check_ids(request.resource.object_id, subject.object_id)
        with self._database.transaction() as connection:
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

    def read(self, request: permissions.ReadRelationshipsRequest) -> list[permissions.ReadRelationshipsResponse]:
        """List the relationships that match a filter."""
        if request.HasField("optional_cursor"):
            raise NotOffered("cursors are not offered here")
        matching = read_filter(request.relationship_filter)
        with self._database.transaction() as connection:
            found = relationships.read(connection, matching, request.optional_limit or None)
        read_at = _zed_token()
        return [permissions.ReadRelationshipsResponse(read_at=read_at, relationship=as_message(one)) for one in found]


def _zed_token() -> core.ZedToken:
    """Return a token that clients do not look into. Every read here sees the newest state anyway."""
    return core.ZedToken(token=str(time.time_ns()))
