"""Accounts and pages of accounts, as the database stores them and as clients see them (contract §1.5, §3.2)."""

from collections.abc import Iterable, Mapping
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
    """The role of an account, as stored. Auth's number for it is one higher (contract §5.3)."""

    USER = 0
    ADMIN = 1


def rfc3339(moment: datetime | None) -> str:
    """Return Go's RFC3339Nano: UTC with ``Z``, without trailing zeros of the fraction. None is the zero time."""
    if moment is None:
        return ZERO_TIME
    utc = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0") if utc.microsecond else ""
    return f"{utc.year:04d}-{utc:%m-%dT%H:%M:%S}{fraction}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account, without its secret. Fields that a statement does not select keep their defaults.

    ``left_out`` is no column: it names the fields that had no room in a page of accounts.
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
    def from_row(cls, row: Mapping[str, Any], columns: Iterable[str] | None = None) -> "User":
        """Return the account of a row, whose columns have the names of the fields. NULL means the field's default.

        ``columns`` are those that the statement selects, all of them where it is None. Raise KeyError for a column that
        the row does not have.
        """
        return cls(**{name: value for name in columns or _COLUMNS if (value := row[name]) is not None})

    def as_json(self) -> dict[str, Any]:
        """Return the User object of contract §1.5: its keys in their order, without those that it omits when empty."""
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


_COLUMNS = tuple(name for name in User.__slots__ if name != "left_out")


def _name(kind: type[IntEnum], value: int) -> str:
    """Return ``enabled`` for 0 and so on, and ``unknown`` for other values that upstream stored (contract §9 B3)."""
    try:
        return kind(value).name.lower()
    except ValueError:
        return "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of accounts. ``total_is_estimate`` is that of decisions 23, ``next_cursor`` that of decisions 24."""

    users: list[User]
    offset: int
    limit: int
    total: int
    total_is_estimate: bool = False
    next_cursor: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the envelope of contract §3.2, without ``limit`` and ``offset`` when they are 0."""
        optional = {"limit": self.limit, "offset": self.offset}
        extra = {"total_is_estimate": self.total_is_estimate, "next_cursor": self.next_cursor}
        return {
            **{key: value for key, value in optional.items() if value},
            "total": self.total,
            "users": [user.as_json() for user in self.users],
            **{key: value for key, value in extra.items() if value},
        }
