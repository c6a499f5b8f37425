"""What a list asks for: the query parameters of ``GET /users`` (contract §3.2; decisions.md 22–24)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from users.errors import BadRequest
from users.models import Role, Status
from users.query import Query

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
ORDERS = ("updated_at", "created_at", "first_name", "last_name", "username", "email")
# What search's answer shows. An order by anything else would tell it all the same (security.md S49).
SEARCH_ORDERS = tuple(order for order in ORDERS if order != "email")
_DEFAULT_ORDER = "updated_at"
_LEAST_SEARCH_BYTES = 3
_SUBSTRINGS = ("username", "email", "first_name", "last_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list request. ``status``, ``role`` and ``verified`` None: any. ``contains`` maps columns to substrings.

    ``cursor`` is as it was sent, "" for none: only the repository can read it (users.cursor).
    """

    offset: int
    limit: int
    status: Status | None
    role: Role | None
    verified: bool | None
    metadata: dict[str, Any]
    contains: dict[str, str]
    tags: list[str]
    all_tags: bool
    order: str
    descending: bool
    only_total: bool
    created_from: datetime | None
    created_to: datetime | None
    cursor: str

    @property
    def is_filtered(self) -> bool:
        """Whether anything but the status narrows the list."""
        narrowing = (self.role, self.verified, self.created_from, self.created_to)
        return bool(self.metadata or self.contains or self.tags) or any(item is not None for item in narrowing)


def read_search(query: Query) -> Listing:
    """The search that a query asks for: enabled ordinary users only (contract §3.3; decisions.md 22, 31)."""
    offset, limit = query.number("offset", 0), query.number("limit", DEFAULT_LIMIT)
    contains = {name: query.text(name) for name in ("username", "first_name", "last_name", "id")}
    order, descending = _search_order(query)
    if any(0 < len(contains[name].encode()) < _LEAST_SEARCH_BYTES for name in ("username", "id")):
        raise BadRequest("search_too_short", f"search query must be at least {_LEAST_SEARCH_BYTES} bytes")
    if not any(contains.values()):
        raise BadRequest("empty_search", "search query must not be empty")
    _check_limit(limit)
    return Listing(
        offset=offset,
        limit=limit,
        status=Status.ENABLED,
        role=Role.USER,
        verified=None,
        metadata={},
        contains={name: value for name, value in contains.items() if value},
        tags=[],
        all_tags=False,
        order=order,
        descending=descending,
        only_total=False,
        created_from=None,
        created_to=None,
        cursor=_cursor(query, offset),
    )


def read_listing(query: Query) -> Listing:
    """The list that a query asks for; BadRequest in the order of the contract, §3.2."""
    status_text = query.text("status", "enabled")
    offset, limit = query.number("offset", 0), query.number("limit", DEFAULT_LIMIT)
    metadata = query.json_object("metadata")
    contains = {name: query.text(name) for name in _SUBSTRINGS}
    tags, all_tags = read_tags(query.text("tags"))
    _order_texts(query)
    contains["id"] = query.text("id")
    status = _status(status_text)
    only_total = query.flag("only_total") or False
    created_from, created_to = query.moment("created_from"), query.moment("created_to")
    role = _role(query.text("role", "all"))
    verified = query.flag("verified") if query.text("verified") else None
    _check_limit(limit)
    order, descending = _order(query)
    return Listing(
        offset=offset,
        limit=limit,
        status=status,
        role=role,
        verified=verified,
        metadata=metadata,
        contains={name: value for name, value in contains.items() if value},
        tags=tags,
        all_tags=all_tags,
        order=order,
        descending=descending,
        only_total=only_total,
        created_from=created_from,
        created_to=created_to,
        cursor=_cursor(query, offset),
    )


def read_tags(text: str) -> tuple[list[str], bool]:
    """Tags, and whether all of them must be there: ``a+b`` all, ``a,b`` any, else one tag as it is (contract §3.2)."""
    if "+" in text:
        return [tag.strip() for tag in text.split("+")], True
    if "," in text:
        return [tag.strip() for tag in text.split(",")], False
    return ([text] if text else []), True


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise BadRequest("invalid_limit", "invalid limit size")


def _order_texts(query: Query) -> tuple[str, str]:
    return query.text("order", _DEFAULT_ORDER), query.text("dir", "desc")


def _order(query: Query) -> tuple[str, bool]:
    """The order and whether it is descending; empty ones are the defaults."""
    order, direction = _order_texts(query)
    if order not in ("", *ORDERS):
        raise BadRequest("invalid_order", "invalid list order provided")
    return order or _DEFAULT_ORDER, _is_descending(direction)


def _search_order(query: Query) -> tuple[str, bool]:
    """The same for search, which ignores an order that its answer does not show, as upstream ignores every order."""
    order, direction = _order_texts(query)
    return order if order in SEARCH_ORDERS else _DEFAULT_ORDER, _is_descending(direction)


def _is_descending(direction: str) -> bool:
    if direction not in ("", "asc", "desc"):
        raise BadRequest("invalid_direction", "invalid list direction provided")
    return direction != "asc"


def _cursor(query: Query, offset: int) -> str:
    text = query.text("cursor")
    if text and offset:
        raise BadRequest("invalid_cursor", "a cursor goes without an offset")
    return text


def _status(text: str) -> Status | None:
    """None for ``all``; an empty one is ``enabled`` (contract §3.1)."""
    statuses = {"": Status.ENABLED, "all": None, **{status.name.lower(): status for status in Status}}
    if text not in statuses:
        raise BadRequest("invalid_status", "invalid status")
    return statuses[text]


def _role(text: str) -> Role | None:
    roles = {"": None, "all": None, "user": Role.USER, "admin": Role.ADMIN}
    if text not in roles:
        raise BadRequest("invalid_role", "invalid client role")
    return roles[text]
