"""Why the service refuses a call, and the gRPC status of each reason (contract §5.4, server side).

No text contains a token.
"""

from __future__ import annotations

from typing import ClassVar

import grpc


class Refused(Exception):
    """Base of every refusal. The client reads its status and its text."""

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    text: ClassVar[str] = "internal server error"

    def __init__(self, text: str | None = None) -> None:
        """Take a text with more details than the class' own."""
        super().__init__(text or self.text)


class MalformedRequest(Refused):
    """A field is missing, or its value is never valid."""

    status = grpc.StatusCode.INVALID_ARGUMENT
    text = "malformed entity specification"


class Unauthenticated(Refused):
    """This service did not make the token, or the token was changed."""

    status = grpc.StatusCode.UNAUTHENTICATED
    text = "failed to perform authentication over the entity"


class TokenExpired(Unauthenticated):
    """The token's lifetime is over."""

    text = "use of expired key"


class TokenRevoked(Unauthenticated):
    """There is no record of the token's id (any more)."""

    text = "token is revoked"


_NOT_AUTHORIZED = "failed to perform authorization over the entity"
_REFUSED_CONNECTION = (
    'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:50051: connect: connection refused"'
)


class AccessDenied(Refused):
    """No relation grants the permission. The real service has this text when SpiceDB answers so."""

    status = grpc.StatusCode.PERMISSION_DENIED
    text = f"{_NOT_AUTHORIZED} : {_NOT_AUTHORIZED} : PERMISSIONSHIP_NO_PERMISSION"


class NotFound(Refused):
    """There is no such entity, or it belongs to another user."""

    status = grpc.StatusCode.NOT_FOUND
    text = "entity not found"


def policy_store_failure(status: grpc.StatusCode) -> Refused:
    """Return the answer of Authorize when SpiceDB failed with `status` instead of answering the question.

    The real service gives a failure the same status as a denial: only the text differs. A status that blames the
    request or the key goes through (pkg/policies/spicedb/service.go:882-906, auth/api/grpc/utils.go:17-48).
    """
    if status in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}:
        return MalformedRequest(f"{_NOT_AUTHORIZED} : {MalformedRequest.text} : object definition not found")
    if status is grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(f"{_NOT_AUTHORIZED} : {Unauthenticated.text} : invalid preshared key")
    code = status.name.title().replace("_", "")
    return AccessDenied(
        f"{_NOT_AUTHORIZED} : unexpected gRPC status: {code} (status code:{code}) : {_REFUSED_CONNECTION}"
    )


class IssueFailed(Refused):
    """Issue or Refresh failed. The real service drops the cause (auth/service.go:377-404)."""

    text = "failed to issue token"


class RelationExists(Refused):
    """CREATE names a relationship that exists."""

    status = grpc.StatusCode.ALREADY_EXISTS
    text = "relationship already exists"


class NotInSchema(Refused):
    """The schema has no such object type, relation or permission."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class NotOffered(Refused):
    """The request uses a part of SpiceDB's interface that this service lacks."""

    status = grpc.StatusCode.UNIMPLEMENTED
