"""The messages of token.v1, auth.v1 and domains.v1, from ``proto/contract.binpb``.

They are in a descriptor pool of their own. So one process can load this package and the Users layer, whose generated
modules define the same messages. The ``.pyi`` files contain the types. After a change of a .proto file, generate both
again, from the project's root:

    cd local/auth/proto && python -m grpc_tools.protoc -I. \
        --descriptor_set_out=contract.binpb --pyi_out=. token/v1/token.proto auth/v1/auth.proto domains/v1/domains.proto
    sed -i '1i # mypy: disable-error-code=type-arg' */v1/*_pb2.pyi
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

TOKEN_SERVICE = "token.v1.TokenService"  # noqa: S105 - a name
AUTH_SERVICE = "auth.v1.AuthService"
DOMAINS_SERVICE = "domains.v1.DomainsService"

PROTO_DIRECTORY = Path(__file__).parent / "proto"
DESCRIPTOR_SET = PROTO_DIRECTORY / "contract.binpb"


def _load_pool() -> descriptor_pool.DescriptorPool:
    """Return a pool of the contract's messages, and of the other services that reflection describes."""
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTOR_SET.read_bytes()).file:
        pool.Add(file)
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool


POOL = _load_pool()

__all__ = [
    "AUTH_SERVICE",
    "DESCRIPTOR_SET",
    "DOMAINS_SERVICE",
    "POOL",
    "PROTO_DIRECTORY",
    "TOKEN_SERVICE",
    "AuthNReq",
    "AuthNRes",
    "AuthZReq",
    "AuthZRes",
    "DeleteUserReq",
    "DeleteUserRes",
    "IssueReq",
    "ListUserRefreshTokensReq",
    "ListUserRefreshTokensRes",
    "PATReq",
    "PolicyReq",
    "RefreshReq",
    "RefreshToken",
    "RevokeReq",
    "RevokeRes",
    "Token",
]

if TYPE_CHECKING:
    from local.auth.proto.auth.v1.auth_pb2 import AuthNReq, AuthNRes, AuthZReq, AuthZRes, PATReq, PolicyReq
    from local.auth.proto.domains.v1.domains_pb2 import DeleteUserReq, DeleteUserRes
    from local.auth.proto.token.v1.token_pb2 import (
        IssueReq,
        ListUserRefreshTokensReq,
        ListUserRefreshTokensRes,
        RefreshReq,
        RefreshToken,
        RevokeReq,
        RevokeRes,
        Token,
    )
else:

    def _message(name):
        return message_factory.GetMessageClass(POOL.FindMessageTypeByName(name))

    AuthNReq = _message("auth.v1.AuthNReq")
    AuthNRes = _message("auth.v1.AuthNRes")
    AuthZReq = _message("auth.v1.AuthZReq")
    AuthZRes = _message("auth.v1.AuthZRes")
    PATReq = _message("auth.v1.PATReq")
    PolicyReq = _message("auth.v1.PolicyReq")
    DeleteUserReq = _message("domains.v1.DeleteUserReq")
    DeleteUserRes = _message("domains.v1.DeleteUserRes")
    IssueReq = _message("token.v1.IssueReq")
    ListUserRefreshTokensReq = _message("token.v1.ListUserRefreshTokensReq")
    ListUserRefreshTokensRes = _message("token.v1.ListUserRefreshTokensRes")
    RefreshReq = _message("token.v1.RefreshReq")
    RefreshToken = _message("token.v1.RefreshToken")
    RevokeReq = _message("token.v1.RevokeReq")
    RevokeRes = _message("token.v1.RevokeRes")
    Token = _message("token.v1.Token")
