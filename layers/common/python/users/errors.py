"""The tree of errors that an operation may raise. Only ``users.edge.http`` turns them into responses.

    UsersError
    ├── BadRequest             400
    ├── Unauthenticated        401
    ├── Forbidden              403
    ├── NotFound               404
    ├── Conflict               409
    ├── PayloadTooLarge        413
    ├── UnsupportedMediaType   415
    ├── TooManyRequests        429, with Retry-After
    └── Unavailable            503, with Retry-After

Every error has a stable snake_case ``code`` (the body's ``error``) and a ``message`` (contract §2.3, and "Statuses" in
docs/differences.md). Neither of them, and no ``Detail``, ever contains a secret, a token or a value from the request.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Detail(NamedTuple):
    """One broken rule, as an entry of the body's ``details`` (decisions 44).

    ``field`` is the field's name in the request. It is empty where the rule belongs to no field.
    """

    field: str
    error: str
    message: str


class UsersError(Exception):
    """An answer other than success. ``status`` is the HTTP status, ``code`` the body's ``error``."""

    status: ClassVar[int]

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Sequence[Detail] = ()


class BadRequest(UsersError):
    """The service cannot use the request. ``details`` names every broken rule, first the rule of ``code``.

    ``field`` and ``detail`` belong to that first rule. Where ``detail`` is empty, the message takes its place.
    """

    status = 400

    def __init__(
        self, code: str, message: str, *, field: str = "", detail: str = "", details: Sequence[Detail] = ()
    ) -> None:
        super().__init__(code, message)
        self.details = details or (Detail(field, code, detail or message),)


class Unauthenticated(UsersError):
    """The caller has no token, a wrong token, or an account that is no longer enabled."""

    status = 401

    def __init__(
        self,
        code: str = "unauthenticated",
        message: str = "failed to perform authentication over the entity",
    ) -> None:
        super().__init__(code, message)


class Forbidden(UsersError):
    """The caller has no right to do this."""

    status = 403

    def __init__(
        self, code: str = "forbidden", message: str = "failed to perform authorization over the entity"
    ) -> None:
        super().__init__(code, message)


class NotFound(UsersError):
    """The requested thing does not exist, or the caller must not learn that it exists."""

    status = 404

    def __init__(self, code: str = "not_found", message: str = "entity not found") -> None:
        super().__init__(code, message)


class Conflict(UsersError):
    """The change contradicts the stored data."""

    status = 409


class PayloadTooLarge(UsersError):
    """The body is too large."""

    status = 413


class UnsupportedMediaType(UsersError):
    """The request's Content-Type is not JSON."""

    status = 415

    def __init__(self) -> None:
        super().__init__("unsupported_content_type", "unsupported content type")
        self.details = (Detail("Content-Type", self.code, "Content-Type must be application/json"),)


class TooManyRequests(UsersError):
    """The caller has reached a limit. ``retry_after`` is in seconds (the ``Retry-After`` header)."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__("too_many_requests", "too many attempts, please try again later")
        self.retry_after = retry_after


class Unavailable(UsersError):
    """A dependency (database, Auth, policy store) does not do its work now, and may do it later.

    ``dependency`` and ``reason`` are for logs: its name, and a gRPC status, the class of an exception or a few words.
    ``reason`` never contains the text of a foreign exception. ``retry_after`` is in seconds (the ``Retry-After``
    header).
    """

    status = 503

    def __init__(self, dependency: str, reason: str, *, retry_after: int = 2) -> None:
        super().__init__("service_unavailable", "service temporarily unavailable, please retry")
        self.dependency = dependency
        self.reason = reason
        self.retry_after = retry_after
