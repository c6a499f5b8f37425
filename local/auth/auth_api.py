"""gRPC: auth.v1.AuthService."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from local.auth import wire
from local.auth.errors import AccessDenied, policy_store_failure
from local.auth.faults import CHECK_PERMISSION
from local.auth.grpc_edge import Edge

if TYPE_CHECKING:
    from local.auth.faults import Faults
    from local.auth.service import Auth


def auth_service(auth: Auth, faults: Faults) -> grpc.GenericRpcHandler:
    """Return the service with its two calls."""
    edge = Edge(wire.AUTH_SERVICE, database_away=grpc.StatusCode.INTERNAL, faults=faults)

    def authenticate(request: wire.AuthNReq) -> wire.AuthNRes:
        session = auth.authenticate(request.token)
        return wire.AuthNRes(
            id=session.token_id,
            user_id=session.user_id,
            user_role=session.role,
            verified=session.verified,
            token_type=session.token_type,
        )

    def authorize(request: wire.AuthZReq) -> wire.AuthZRes:
        if request.HasField("pat_req"):  # no scope of a PAT covers users, so none ever permits (contract §5.4)
            raise AccessDenied
        if fault := faults.next(CHECK_PERMISSION):
            raise policy_store_failure(grpc.StatusCode[fault.status])
        policy = request.policy_req
        auth.authorize((policy.subject_type, policy.subject), policy.permission, (policy.object_type, policy.object))
        return wire.AuthZRes(authorized=True)

    edge.unary("Authenticate", wire.AuthNReq, authenticate)
    edge.unary("Authorize", wire.AuthZReq, authorize)
    return edge.handler()
