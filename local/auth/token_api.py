"""gRPC: token.v1.TokenService."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from local.auth import wire
from local.auth.errors import IssueFailed
from local.auth.faults import CHECK_PERMISSION
from local.auth.grpc_edge import Edge

if TYPE_CHECKING:
    from local.auth.faults import Faults
    from local.auth.service import Auth, IssuedTokens


def token_service(auth: Auth, faults: Faults) -> grpc.GenericRpcHandler:
    """Return the service with its four calls."""
    edge = Edge(wire.TOKEN_SERVICE, database_away=grpc.StatusCode.INTERNAL, faults=faults)

    def issue(request: wire.IssueReq) -> wire.Token:
        if faults.next(CHECK_PERMISSION):
            raise IssueFailed
        issued = auth.issue(
            request.user_id,
            request.user_role,
            request.type,
            verified=request.verified,
            description=request.description,
        )
        return _message(issued)

    def refresh(request: wire.RefreshReq) -> wire.Token:
        return _message(auth.refresh(request.refresh_token, verified=request.verified))

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


def _message(issued: IssuedTokens) -> wire.Token:
    return wire.Token(access_token=issued.access, refresh_token=issued.refresh)
