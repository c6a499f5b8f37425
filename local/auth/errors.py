"""The refusals of the service and their gRPC status (contract §5.4, server side); no text holds a token."""

from __future__ import annotations

from typing import ClassVar

import grpc


class AuthError(Exception):
    """Base of every refusal; the class gives the status, the text is what the client reads."""

    status: ClassVar[grpc.StatusCode] = grpc.StatusCode.INTERNAL
    text: ClassVar[str] = "internal server error"

    def __init__(self, text: str | None = None) -> None:
        """Take a text where the class' own says too little."""
        super().__init__(text or self.text)


class MalformedRequest(AuthError):
    """A field is missing or has a value that is never valid."""

    status = grpc.StatusCode.INVALID_ARGUMENT
    text = "malformed entity specification"


class Unauthenticated(AuthError):
    """The token is not one that this service vouches for."""

    status = grpc.StatusCode.UNAUTHENTICATED
    text = "failed to perform authentication over the entity"


class TokenExpired(Unauthenticated):
    """The token was good once."""

    text = "use of expired key"


class TokenRevoked(Unauthenticated):
    """The token's id is not (or no longer) on record."""

    text = "token is revoked"


_NOT_AUTHORIZED = "failed to perform authorization over the entity"
_REFUSED_CONNECTION = (
    'connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:50051: connect: connection refused"'
)


class AccessDenied(AuthError):
    """No relation grants what was asked. The text is the one of a SpiceDB that answered so."""

    status = grpc.StatusCode.PERMISSION_DENIED
    text = f"{_NOT_AUTHORIZED} : {_NOT_AUTHORIZED} : PERMISSIONSHIP_NO_PERMISSION"


class NotFound(AuthError):
    """No such entity, or not the caller's."""

    status = grpc.StatusCode.NOT_FOUND
    text = "entity not found"


def policy_store_failure(status: grpc.StatusCode) -> AuthError:
    """What Authorize answers where SpiceDB did not answer the question but failed with `status`.

    The real service wraps the failure into the same status as a refusal; only the text tells them apart. A status that
    blames the request or the key goes through (pkg/policies/spicedb/service.go:882-906, auth/api/grpc/utils.go:17-48).
    """
    if status in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}:
        return MalformedRequest(f"{_NOT_AUTHORIZED} : {MalformedRequest.text} : object definition not found")
    if status is grpc.StatusCode.UNAUTHENTICATED:
        return Unauthenticated(f"{_NOT_AUTHORIZED} : {Unauthenticated.text} : invalid preshared key")
    code = status.name.title().replace("_", "")
    return AccessDenied(
        f"{_NOT_AUTHORIZED} : unexpected gRPC status: {code} (status code:{code}) : {_REFUSED_CONNECTION}"
    )


class IssueFailed(AuthError):
    """Upstream's untyped failures of Issue and Refresh: the caller learns only that it did not work."""

    text = "failed to issue token"


class RelationExists(AuthError):
    """CREATE of a relationship that is there already."""

    status = grpc.StatusCode.ALREADY_EXISTS
    text = "relationship already exists"


class NotInSchema(AuthError):
    """The schema has no such object type, relation or permission."""

    status = grpc.StatusCode.FAILED_PRECONDITION


class NotOffered(AuthError):
    """A part of the SpiceDB interface that the Users service does not use."""

    status = grpc.StatusCode.UNIMPLEMENTED
