"""gRPC: the call of domains.v1.DomainsService that the Users service makes (contract §4.6 and contract §5.1).

Upstream, Domains is a service beside Auth. Here one port serves both.
"""

from __future__ import annotations

import grpc

from local.auth import wire
from local.auth.errors import MalformedRequest
from local.auth.grpc_edge import Edge


def domains_service() -> grpc.GenericRpcHandler:
    """Answer as upstream, which lists the user's domains, deletes none of them, and answers `deleted: true`."""
    edge = Edge(wire.DOMAINS_SERVICE, database_away=grpc.StatusCode.INTERNAL)

    def delete_user_from_domains(request: wire.DeleteUserReq) -> wire.DeleteUserRes:
        if not request.id:
            raise MalformedRequest
        return wire.DeleteUserRes(deleted=True)

    edge.unary("DeleteUserFromDomains", wire.DeleteUserReq, delete_user_from_domains)
    return edge.handler()
