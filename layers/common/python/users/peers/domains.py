"""Magistrala's Domains service over gRPC (contract §5.1). Without ``MG_DOMAINS_GRPC_URL`` nothing is called."""

from functools import cache
from typing import Any

from users.aws.secrets import secret
from users.errors import Unavailable
from users.settings import settings
from users.snapstart import not_in_snapshots
from users.telemetry.tracing import call_span

_METHOD = "/domains.v1.DomainsService/DeleteUserFromDomains"


def delete_user(user_id: str) -> None:
    """Remove a user from all domains. Unavailable unless Domains confirms it."""
    if not settings().domains_grpc_url:
        return
    import grpc  # imported only where Domains is configured

    from users.peers.proto.domains_pb2 import DeleteUserReq

    try:
        with call_span(_METHOD) as metadata:
            answer = _delete_user_call()(
                DeleteUserReq(id=user_id), timeout=settings().domains_grpc_timeout, metadata=metadata
            )
    except grpc.RpcError as error:
        raise Unavailable("domains", error.code().name) from error
    if not answer.deleted:
        raise Unavailable("domains", "refused")


@not_in_snapshots
def close() -> None:
    """Close the channel. The next call opens another."""
    if _channel.cache_info().currsize:
        _channel().close()
        _channel.cache_clear()
    _delete_user_call.cache_clear()


@cache
def _delete_user_call() -> Any:
    from users.peers.proto.domains_pb2 import DeleteUserReq, DeleteUserRes

    return _channel().unary_unary(
        _METHOD, request_serializer=DeleteUserReq.SerializeToString, response_deserializer=DeleteUserRes.FromString
    )


@cache
def _channel() -> Any:
    from users.peers.grpc_channel import open_channel

    s = settings()
    return open_channel(
        s.domains_grpc_url,
        server_ca=s.domains_grpc_server_ca_certs,
        client_cert=s.domains_grpc_client_cert,
        client_key=secret(s.domains_grpc_client_key),
    )
