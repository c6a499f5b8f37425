"""Magistrala Auth over gRPC: one channel per execution environment, one deadline per call (contract §5).

Auth's refusals become Unauthenticated, Forbidden, NotFound or BadRequest; Auth being away becomes Unavailable. A call
is sent again only on UNAVAILABLE and within its deadline (gRPC's own retry policy).
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from users.access import TokenType
from users.errors import BadRequest, Forbidden, NotFound, Unauthenticated, Unavailable, UsersError
from users.models import Role
from users.proto import auth_pb2, token_pb2
from users.settings import settings

Answer = TypeVar("Answer", bound=Message)

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
_OPTIONS = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A channel that lost its server tries again soon; gRPC's default grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_REFUSALS: dict[grpc.StatusCode, UsersError] = {
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated(),
    grpc.StatusCode.PERMISSION_DENIED: Forbidden(),
    grpc.StatusCode.NOT_FOUND: NotFound(),
    grpc.StatusCode.INVALID_ARGUMENT: BadRequest("malformed_entity", "malformed entity specification"),
    grpc.StatusCode.FAILED_PRECONDITION: BadRequest("malformed_entity", "malformed entity specification"),
}


class Tokens(NamedTuple):
    """What Issue and Refresh answer."""

    access_token: str
    refresh_token: str


class RefreshToken(NamedTuple):
    """A refresh token as Auth lists it: its id, and the label that its login gave it."""

    id: str
    description: str


class RelationMissing(Exception):
    """Auth knows no relation of the user to the platform: Issue answers INTERNAL then (contract §2.4)."""


def authenticate(token: str) -> tuple[str, TokenType]:
    """Whose token it is, and of which kind; Unauthenticated for every refusal, also of a malformed token."""
    request = auth_pb2.AuthNReq(token=token)
    try:
        answer = _call("/auth.v1.AuthService/Authenticate", request, auth_pb2.AuthNRes)
        return answer.user_id, TokenType(answer.token_type)
    except (BadRequest, NotFound, Forbidden, ValueError) as error:
        raise Unauthenticated from error


def authorize_administrator(user_id: str) -> None:
    """Ask whether the policy store, too, holds the user for an administrator; Forbidden when not (contract §5.4)."""
    policy = auth_pb2.PolicyReq(
        subject_type="user",
        subject=user_id,
        permission="admin",
        object_type="platform",
        object="magistrala",
    )
    answer = _call("/auth.v1.AuthService/Authorize", auth_pb2.AuthZReq(policy_req=policy), auth_pb2.AuthZRes)
    if not answer.authorized:
        raise Forbidden


def issue(user_id: str, *, role: int, verified: bool, description: str = "") -> Tokens:
    """A new access and refresh token. RelationMissing when Auth fails on its side, which is how it says so."""
    request = token_pb2.IssueReq(
        user_id=user_id,
        user_role=(Role.ADMIN if role == Role.ADMIN else Role.USER) + 1,
        type=TokenType.ACCESS,
        verified=verified,
        description=description,
    )
    try:
        answer = _call("/token.v1.TokenService/Issue", request, token_pb2.Token)
    except Unavailable as error:
        if isinstance(error.__cause__, grpc.RpcError) and error.__cause__.code() is grpc.StatusCode.INTERNAL:
            raise RelationMissing from error
        raise
    return Tokens(answer.access_token, answer.refresh_token)


def refresh(refresh_token: str, *, verified: bool) -> Tokens:
    """New tokens for a refresh token; Unauthenticated when Auth knows it no more."""
    request = token_pb2.RefreshReq(refresh_token=refresh_token, verified=verified)
    answer = _call("/token.v1.TokenService/Refresh", request, token_pb2.Token)
    return Tokens(answer.access_token, answer.refresh_token)


def list_refresh_tokens(user_id: str) -> list[RefreshToken]:
    """The user's refresh tokens that have not expired, the next to expire first."""
    request = token_pb2.ListUserRefreshTokensReq(user_id=user_id)
    answer = _call("/token.v1.TokenService/ListUserRefreshTokens", request, token_pb2.ListUserRefreshTokensRes)
    return [RefreshToken(token.id, token.description) for token in answer.refresh_tokens]


def revoke(user_id: str, token_id: str) -> None:
    """Forget a refresh token. Auth does not check whose it is: the caller has (contract §9 S10)."""
    request = token_pb2.RevokeReq(token_id=token_id, user_id=user_id)
    _call("/token.v1.TokenService/Revoke", request, token_pb2.RevokeRes)


def close() -> None:
    """Close the channel; the next call opens another."""
    if _channel.cache_info().currsize:
        _channel().close()
        _channel.cache_clear()


def _call(method: str, request: Message, answer: type[Answer]) -> Answer:
    call = _channel().unary_unary(
        method, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
    )
    try:
        return call(request, timeout=settings().auth_grpc_timeout)
    except grpc.RpcError as error:
        refusal = _REFUSALS.get(error.code())
        if refusal is None:
            raise Unavailable("auth") from error
        raise type(refusal)(refusal.code, refusal.message) from error


@cache
def _channel() -> grpc.Channel:
    s = settings()
    if not s.auth_grpc_server_ca_certs:
        return grpc.insecure_channel(s.auth_grpc_url, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=_pem(s.auth_grpc_server_ca_certs),
        private_key=_pem(s.auth_grpc_client_key),
        certificate_chain=_pem(s.auth_grpc_client_cert),
    )
    return grpc.secure_channel(s.auth_grpc_url, credentials, options=_OPTIONS)


def _pem(path_or_pem: str) -> Any:
    """The bytes of a certificate or key given as a path or inline (contract §8.6), None for none."""
    if not path_or_pem:
        return None
    return path_or_pem.encode() if "-----BEGIN" in path_or_pem else Path(path_or_pem).read_bytes()
