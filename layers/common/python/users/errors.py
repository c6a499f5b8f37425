"""The one tree of errors that an operation may raise; ``users.edge.http`` alone turns them into responses.

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

Every error carries a stable snake_case ``code`` (the body's ``error``) and a ``message`` (contract §2.3 and the table
of differences.md#statuses). Neither ever holds a secret, a token or what a caller sent; nor does a ``Detail``.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Detail(NamedTuple):
    """One broken rule, as an entry of the body's ``details`` (decisions 44).

    ``field`` is the field's name in the request, empty where the rule belongs to none.
    """

    field: str
    error: str
    message: str


class UsersError(Exception):
    """An answer other than success: ``status`` is the HTTP status, ``code`` the body's ``error``."""

    status: ClassVar[int]

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Sequence[Detail] = ()


class BadRequest(UsersError):
    """What was sent cannot be taken. ``details`` names every broken rule; the first is that of ``code``.

    ``field`` and ``detail`` are of that first rule. Where ``detail`` is empty, the message says enough.
    """

    status = 400

    def __init__(
        self, code: str, message: str, *, field: str = "", detail: str = "", details: Sequence[Detail] = ()
    ) -> None:
        super().__init__(code, message)
        self.details = details or (Detail(field, code, detail or message),)


class Unauthenticated(UsersError):
    """Nobody, or nobody any more: no token, a refused one, or an account that is no longer enabled."""

    status = 401

    def __init__(
        self,
        code: str = "unauthenticated",
        message: str = "failed to perform authentication over the entity",
    ) -> None:
        super().__init__(code, message)


class Forbidden(UsersError):
    """Somebody, who may not."""

    status = 403

    def __init__(
        self, code: str = "forbidden", message: str = "failed to perform authorization over the entity"
    ) -> None:
        super().__init__(code, message)


class NotFound(UsersError):
    """No such thing, or none that the caller may know of."""

    status = 404

    def __init__(self, code: str = "not_found", message: str = "entity not found") -> None:
        super().__init__(code, message)


class Conflict(UsersError):
    """The change contradicts what is stored."""

    status = 409


class PayloadTooLarge(UsersError):
    """The body is over the limit."""

    status = 413


class UnsupportedMediaType(UsersError):
    """The body is not declared as JSON."""

    status = 415

    def __init__(self) -> None:
        super().__init__("unsupported_content_type", "unsupported content type")
        self.details = (Detail("Content-Type", self.code, "Content-Type must be application/json"),)


class TooManyRequests(UsersError):
    """A limit is reached; ``retry_after`` is in seconds (the ``Retry-After`` header)."""

    status = 429

    def __init__(self, retry_after: int) -> None:
        super().__init__("too_many_requests", "too many attempts, please try again later")
        self.retry_after = retry_after


class Unavailable(UsersError):
    """A dependency (database, Auth, policy store) is away; the same request may succeed later.

    ``dependency`` names it in the log; ``retry_after`` is in seconds (the ``Retry-After`` header).
    """

    status = 503

    def __init__(self, dependency: str, retry_after: int = 2) -> None:
        super().__init__("service_unavailable", "service temporarily unavailable, please retry")
        self.dependency = dependency
        self.retry_after = retry_after
