"""Magistrala Auth over gRPC: one channel per execution environment, one deadline per call (contract §5).

Auth's refusals become Unauthenticated, Forbidden, NotFound or BadRequest. Any other failure becomes Unavailable. gRPC's
retry policy repeats a call only on UNAVAILABLE, and within its deadline.
"""

from functools import cache
from typing import NamedTuple, TypeVar

import grpc
from google.protobuf.message import Message

from users.access import TokenType
from users.aws.secrets import secret
from users.errors import BadRequest, Forbidden, NotFound, Unauthenticated, Unavailable, UsersError
from users.models import Role
from users.peers.grpc_channel import check_serving, open_channel
from users.peers.proto import auth_pb2, token_pb2
from users.readiness import needed
from users.settings import settings
from users.snapstart import not_in_snapshots
from users.telemetry.tracing import call_span

Answer = TypeVar("Answer", bound=Message)

_REFUSALS: dict[grpc.StatusCode, UsersError] = {
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated(),
    grpc.StatusCode.PERMISSION_DENIED: Forbidden(),
    grpc.StatusCode.NOT_FOUND: NotFound(),
    grpc.StatusCode.INVALID_ARGUMENT: BadRequest("malformed_entity", "malformed entity specification"),
    grpc.StatusCode.FAILED_PRECONDITION: BadRequest("malformed_entity", "malformed entity specification"),
}


class Tokens(NamedTuple):
    """The answer of Issue and Refresh."""

    access_token: str
    refresh_token: str


class RefreshToken(NamedTuple):
    """A refresh token as Auth lists it: its id, and the label of its login."""

    id: str
    description: str


class RelationMissing(Exception):
    """The user has no relation to the platform, and Issue therefore answers INTERNAL (contract §2.4)."""


def authenticate(token: str) -> tuple[str, TokenType]:
    """Return the token's owner and kind. Unauthenticated for every refusal, also of a malformed token."""
    request = auth_pb2.AuthNReq(token=token)
    try:
        answer = _call("/auth.v1.AuthService/Authenticate", request, auth_pb2.AuthNRes)
        return answer.user_id, TokenType(answer.token_type)
    except (BadRequest, NotFound, Forbidden, ValueError) as error:
        raise Unauthenticated from error


def authorize_administrator(user_id: str) -> None:
    """Check that the user is an administrator in the policy store, too (contract §5.4).

    Forbidden when SpiceDB denies it, Unavailable when SpiceDB does not answer. The real Auth answers PERMISSION_DENIED
    in both cases. Where Auth blames the request or a key, SpiceDB has refused Auth, because the request from here
    is always the same.
    """
    policy = auth_pb2.PolicyReq(
        subject_type="user",
        subject=user_id,
        permission="admin",
        object_type="platform",
        object="magistrala",
    )
    try:
        answer = _send("/auth.v1.AuthService/Authorize", auth_pb2.AuthZReq(policy_req=policy), auth_pb2.AuthZRes)
    except grpc.RpcError as error:
        if _is_answer_of_policy_store(error):
            raise Forbidden from error
        dependency = "spicedb" if error.code() in _REFUSALS else "auth"
        raise Unavailable(dependency, error.code().name) from error
    if not answer.authorized:
        raise Forbidden


def _is_answer_of_policy_store(error: grpc.RpcError) -> bool:
    """Return whether Auth passes on an answer of SpiceDB, and not a failure to reach SpiceDB.

    Auth joins causes by " : ". An answer ends in its name (PERMISSIONSHIP_NO_PERMISSION) or has no further cause. Every
    other text counts as a failure. Both refuse the caller, but clients repeat a 503, and it raises an alarm. A 403
    would deny an administrator its role.
    """
    if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
        return False
    cause = str(error.details()).rpartition(" : ")[2]
    return cause.startswith("PERMISSIONSHIP_") or cause == Forbidden().message


def issue(user_id: str, *, role: int, verified: bool, description: str = "") -> Tokens:
    """Return new tokens. Auth answers INTERNAL when the relation is missing, which raises RelationMissing."""
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
        if error.reason == grpc.StatusCode.INTERNAL.name:
            raise RelationMissing from error
        raise
    return Tokens(answer.access_token, answer.refresh_token)


def refresh(refresh_token: str, *, verified: bool) -> Tokens:
    """Return new tokens for a refresh token. Unauthenticated for a revoked or expired token."""
    request = token_pb2.RefreshReq(refresh_token=refresh_token, verified=verified)
    answer = _call("/token.v1.TokenService/Refresh", request, token_pb2.Token)
    return Tokens(answer.access_token, answer.refresh_token)


def list_refresh_tokens(user_id: str) -> list[RefreshToken]:
    """Return the user's refresh tokens that have not expired, the next to expire first."""
    request = token_pb2.ListUserRefreshTokensReq(user_id=user_id)
    answer = _call("/token.v1.TokenService/ListUserRefreshTokens", request, token_pb2.ListUserRefreshTokensRes)
    return [RefreshToken(token.id, token.description) for token in answer.refresh_tokens]


def revoke(user_id: str, token_id: str) -> None:
    """Revoke a refresh token. The caller must check its owner, because Auth does not (contract §9 S10)."""
    request = token_pb2.RevokeReq(token_id=token_id, user_id=user_id)
    _call("/token.v1.TokenService/Revoke", request, token_pb2.RevokeRes)


def check_health() -> None:
    """Raise Unavailable unless Auth reports that it serves (contract §5.1)."""
    check_serving(_channel(), "auth", "auth")


@not_in_snapshots
def close() -> None:
    """Close the channel. The next call opens another."""
    if _channel.cache_info().currsize:
        _channel().close()
        _channel.cache_clear()


def _call(method: str, request: Message, answer: type[Answer]) -> Answer:
    """Call Auth. Raise the service's own error for Auth's."""
    try:
        return _send(method, request, answer)
    except grpc.RpcError as error:
        refusal = _REFUSALS.get(error.code())
        if refusal is None:
            raise Unavailable("auth", error.code().name) from error
        raise type(refusal)(refusal.code, refusal.message) from error


def _send(method: str, request: Message, answer: type[Answer]) -> Answer:
    call = _channel().unary_unary(
        method, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
    )
    with call_span(method) as metadata:
        return call(request, timeout=settings().auth_grpc_timeout, metadata=metadata)


@needed  # reads the certificates and the key, and connects to nothing before the first call
@cache
def _channel() -> grpc.Channel:
    s = settings()
    return open_channel(
        s.auth_grpc_url,
        server_ca=s.auth_grpc_server_ca_certs,
        client_cert=s.auth_grpc_client_cert,
        client_key=secret(s.auth_grpc_client_key),
    )
