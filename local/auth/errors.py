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


class AccessDenied(AuthError):
    """No relation grants what was asked."""

    status = grpc.StatusCode.PERMISSION_DENIED
    text = "failed to perform authorization over the entity"


class NotFound(AuthError):
    """No such entity, or not the caller's."""

    status = grpc.StatusCode.NOT_FOUND
    text = "entity not found"


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
