"""Accounts and pages of them: what the database holds and how a client sees it (contract §1.5, §3.2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

ZERO_TIME = "0001-01-01T00:00:00Z"


class Status(IntEnum):
    """The state of an account, as stored (contract §5.3)."""

    ENABLED = 0
    DISABLED = 1
    DELETED = 2


class Role(IntEnum):
    """The role of an account, as stored; Auth's is one higher (contract §5.3)."""

    USER = 0
    ADMIN = 1


def rfc3339(moment: datetime | None) -> str:
    """UTC with ``Z`` and the fraction's trailing zeros cut, Go's RFC3339Nano; the zero time for None."""
    if moment is None:
        return ZERO_TIME
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{utc.year:04d}-{utc:%m-%dT%H:%M:%S}{fraction}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account, without its secret. A field that was not selected keeps its default, and is left out.

    ``left_out`` names the fields that a page of accounts had no room for.
    """

    id: str
    first_name: str = ""
    last_name: str = ""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    private_metadata: dict[str, Any] = field(default_factory=dict)
    status: int = Status.ENABLED
    role: int = Role.USER
    profile_picture: str = ""
    username: str = ""
    email: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    updated_by: str = ""
    verified_at: datetime | None = None
    auth_provider: str = ""
    left_out: list[str] = field(default_factory=list)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "User":
        """The account in a row whose columns have the fields' names; NULL means the field's default."""
        return cls(**{name: row[name] for name in cls.__slots__ if row.get(name) is not None})

    def as_json(self) -> dict[str, Any]:
        """The User object (contract §1.5): its keys, its order, and which of them are left out when empty."""
        shown = {
            "id": self.id,
            "first_name": self.first_name,
            "last_name": self.last_name,
            "tags": self.tags,
            "metadata": self.metadata,
            "private_metadata": self.private_metadata,
            "status": _name(Status, self.status),
            "role": _name(Role, self.role),
            "profile_picture": self.profile_picture,
            "credentials": {"username": self.username} if self.username else {},
            "email": self.email,
            "created_at": rfc3339(self.created_at),
            "updated_at": rfc3339(self.updated_at),
            "updated_by": self.updated_by,
            "verified_at": rfc3339(self.verified_at),
            "auth_provider": self.auth_provider,
            "left_out": self.left_out,
        }
        return {key: value for key, value in shown.items() if value or key in {"id", "credentials"}}


def _name(kind: type[IntEnum], value: int) -> str:
    """``enabled`` for 0 and so on; ``unknown`` for what upstream may have stored (contract §9 B3)."""
    try:
        return kind(value).name.lower()
    except ValueError:
        return "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of accounts. ``total_is_estimate`` and ``next_cursor`` as in decisions 23 and 24."""

    users: list[User]
    offset: int
    limit: int
    total: int
    total_is_estimate: bool = False
    next_cursor: str = ""

    def as_json(self) -> dict[str, Any]:
        """The envelope (contract §3.2): ``limit`` and ``offset`` are left out when they are 0."""
        optional = {"limit": self.limit, "offset": self.offset}
        extra = {"total_is_estimate": self.total_is_estimate, "next_cursor": self.next_cursor}
        return {
            **{key: value for key, value in optional.items() if value},
            "total": self.total,
            "users": [user.as_json() for user in self.users],
            **{key: value for key, value in extra.items() if value},
        }
