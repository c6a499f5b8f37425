"""gRPC: token.v1.TokenService and auth.v1.AuthService, health and reflection, as in Magistrala's Auth; with Domains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from local.auth import wire
from local.auth.domains_api import domains_service
from local.auth.errors import AccessDenied, IssueFailed, policy_store_failure
from local.auth.faults import CHECK_PERMISSION
from local.auth.grpc_edge import Edge

if TYPE_CHECKING:
    from local.auth.faults import Faults
    from local.auth.service import Auth, IssuedTokens

HEALTH_NAME = "auth"


def add_auth_services(server: grpc.Server, auth: Auth, faults: Faults) -> None:
    """Serve all that the Users service asks of Auth."""
    services = (_token_service(auth, faults), _auth_service(auth, faults), domains_service())
    server.add_generic_rpc_handlers(services)
    add_health(server, HEALTH_NAME)
    names = (wire.TOKEN_SERVICE, wire.AUTH_SERVICE, wire.DOMAINS_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server, pool=wire.POOL)


def add_health(server: grpc.Server, name: str) -> None:
    """Serve grpc.health.v1: SERVING for the name and for "" as long as the process runs."""
    servicer = health.HealthServicer()
    for service in (name, ""):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)


def _token_service(auth: Auth, faults: Faults) -> grpc.GenericRpcHandler:
    edge = Edge(wire.TOKEN_SERVICE, database_away=grpc.StatusCode.INTERNAL, faults=faults)

    def issue(request: wire.IssueReq) -> wire.Token:
        if faults.next(CHECK_PERMISSION):
            raise IssueFailed  # as for a missing relation: the real service drops the cause (auth/service.go:377-404)
        return _token(
            auth.issue(
                request.user_id,
                request.user_role,
                request.type,
                verified=request.verified,
                description=request.description,
            )
        )

    def refresh(request: wire.RefreshReq) -> wire.Token:
        return _token(auth.refresh(request.refresh_token, verified=request.verified))

    def revoke(request: wire.RevokeReq) -> wire.RevokeRes:
        auth.revoke(request.token_id, request.user_id)
        return wire.RevokeRes()

    def list_refresh_tokens(request: wire.ListUserRefreshTokensReq) -> wire.ListUserRefreshTokensRes:
        tokens = auth.list_refresh_tokens(request.user_id)
        return wire.ListUserRefreshTokensRes(
            refresh_tokens=[wire.RefreshToken(id=token.id, description=token.description) for token in tokens]
        )

    edge.unary("Issue", wire.IssueReq, issue)
    edge.unary("Refresh", wire.RefreshReq, refresh)
    edge.unary("Revoke", wire.RevokeReq, revoke)
    edge.unary("ListUserRefreshTokens", wire.ListUserRefreshTokensReq, list_refresh_tokens)
    return edge.handler()


def _auth_service(auth: Auth, faults: Faults) -> grpc.GenericRpcHandler:
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
        if request.HasField("pat_req"):  # a PAT cannot have a scope for users, so it never permits (contract §5.4)
            raise AccessDenied
        if fault := faults.next(CHECK_PERMISSION):
            raise policy_store_failure(grpc.StatusCode[fault.status])
        policy = request.policy_req
        auth.authorize((policy.subject_type, policy.subject), policy.permission, (policy.object_type, policy.object))
        return wire.AuthZRes(authorized=True)

    edge.unary("Authenticate", wire.AuthNReq, authenticate)
    edge.unary("Authorize", wire.AuthZReq, authorize)
    return edge.handler()


def _token(tokens: IssuedTokens) -> wire.Token:
    return wire.Token(access_token=tokens.access, refresh_token=tokens.refresh)
