"""The query parameters of ``GET /users`` and of the search (contract §3.2, §3.3, decisions 22–24)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from users.errors import BadRequest
from users.models import Role, Status
from users.rules.broken_rules import Rules, all_rules
from users.rules.query_string import Query

DEFAULT_LIMIT = 10
MAX_LIMIT = 100
ORDERS = ("updated_at", "created_at", "first_name", "last_name", "username", "email")
# The fields that an answer of the search shows. An order by any other field would reveal its values (S49).
SEARCH_ORDERS = tuple(order for order in ORDERS if order != "email")
_DEFAULT_ORDER = "updated_at"
_LEAST_SEARCH_BYTES = 3
_SEARCHED = ("username", "first_name", "last_name", "id")
_SUBSTRINGS = ("username", "email", "first_name", "last_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list request. ``status``, ``role``, ``verified`` are None for any. ``contains`` maps columns to substrings.

    ``cursor`` is the text that the client sent, "" for none. Only the repository reads it (users.rules.cursor).
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
        """Whether any filter other than the status narrows the list."""
        narrowing = (self.role, self.verified, self.created_from, self.created_to)
        return bool(self.metadata or self.contains or self.tags) or any(item is not None for item in narrowing)


def read_search(query: Query) -> Listing:
    """Read a search, which finds enabled ordinary users only (contract §3.3, decisions 22, 31)."""
    with all_rules() as rules:
        offset, limit = _read_window(rules, query)
        contains = {name: rules.read(None, query.text, name) for name in _SEARCHED}
        order = rules.read(_DEFAULT_ORDER, _search_order, query)
        descending = rules.read(True, _descending, query)
        for name in ("username", "id"):
            rules.check(_check_search, name, contains[name] or "")
        rules.check(_check_not_empty, contains)
        rules.check(_check_limit, limit)
        cursor = rules.read("", _cursor, query, offset)
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
        cursor=cursor,
    )


def read_listing(query: Query) -> Listing:
    """Read a list request. BadRequest names broken rules in the order of contract §3.2."""
    with all_rules() as rules:
        status_text = rules.read("", query.text, "status", "enabled")
        offset, limit = _read_window(rules, query)
        metadata = rules.read({}, query.json_object, "metadata")
        contains = {name: rules.read("", query.text, name) for name in _SUBSTRINGS}
        tags, all_tags = read_tags(rules.read("", query.text, "tags"))
        order = rules.read("", query.text, "order")
        direction = rules.read("", query.text, "dir")
        contains["id"] = rules.read("", query.text, "id")
        status = rules.read(None, _status, status_text)
        only_total = rules.read(None, query.flag, "only_total") or False
        created_from = rules.read(None, query.moment, "created_from")
        created_to = rules.read(None, query.moment, "created_to")
        role = rules.read(None, _role, rules.read("", query.text, "role"))
        verified = rules.read(None, _verified, query)
        rules.check(_check_limit, limit)
        rules.check(_check_order, order)
        descending = rules.read(True, _is_descending, direction)
        cursor = rules.read("", _cursor, query, offset)
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
        order=order or _DEFAULT_ORDER,
        descending=descending,
        only_total=only_total,
        created_from=created_from,
        created_to=created_to,
        cursor=cursor,
    )


def read_tags(text: str) -> tuple[list[str], bool]:
    """Return tags, and whether an account must have all: ``a+b`` all, ``a,b`` any, else one tag (contract §3.2)."""
    if "+" in text:
        return [tag.strip() for tag in text.split("+")], True
    if "," in text:
        return [tag.strip() for tag in text.split(",")], False
    return ([text] if text else []), True


def _read_window(rules: Rules, query: Query) -> tuple[int, int]:
    """Return the offset and the limit. The limit's range is checked later, in the contract's order."""
    offset = rules.read(0, query.number, "offset", 0)
    return offset, rules.read(DEFAULT_LIMIT, query.number, "limit", DEFAULT_LIMIT)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        detail = f"limit must be from 1 to {MAX_LIMIT}"
        raise BadRequest("invalid_limit", "invalid limit size", field="limit", detail=detail)


def _check_search(name: str, text: str) -> None:
    if 0 < len(text.encode()) < _LEAST_SEARCH_BYTES:
        message = f"search query must be at least {_LEAST_SEARCH_BYTES} bytes"
        raise BadRequest("search_too_short", message, field=name)


def _check_not_empty(contains: Mapping[str, str | None]) -> None:
    """Refuse a search without any text. An unreadable text is None here, and is not missing."""
    if all(text == "" for text in contains.values()):
        detail = f"one of {', '.join(contains)} must be given"
        raise BadRequest("empty_search", "search query must not be empty", detail=detail)


def _check_order(order: str) -> None:
    if order not in ("", *ORDERS):
        detail = f"order must be one of {', '.join(ORDERS)}"
        raise BadRequest("invalid_order", "invalid list order provided", field="order", detail=detail)


def _search_order(query: Query) -> str:
    """Return the order of a search. Ignore a field that its answer does not show. Upstream ignores every order."""
    order = query.text("order")
    return order if order in SEARCH_ORDERS else _DEFAULT_ORDER


def _descending(query: Query) -> bool:
    return _is_descending(query.text("dir"))


def _is_descending(direction: str) -> bool:
    """Return whether the order is descending, which is the default."""
    if direction not in ("", "asc", "desc"):
        detail = "dir must be asc or desc"
        raise BadRequest("invalid_direction", "invalid list direction provided", field="dir", detail=detail)
    return direction != "asc"


def _verified(query: Query) -> bool | None:
    return query.flag("verified") if query.text("verified") else None


def _cursor(query: Query, offset: int) -> str:
    text = query.text("cursor")
    if text and offset:
        raise BadRequest("invalid_cursor", "a cursor goes without an offset", field="cursor")
    return text


def _status(text: str) -> Status | None:
    """Return the status, None for ``all``. An empty text means ``enabled`` (contract §3.1)."""
    statuses = {"": Status.ENABLED, "all": None, **{status.name.lower(): status for status in Status}}
    if text not in statuses:
        detail = "status must be one of enabled, disabled, deleted, all"
        raise BadRequest("invalid_status", "invalid status", field="status", detail=detail)
    return statuses[text]


def _role(text: str) -> Role | None:
    roles = {"": None, "all": None, "user": Role.USER, "admin": Role.ADMIN}
    if text not in roles:
        detail = "role must be one of user, admin, all"
        raise BadRequest("invalid_role", "invalid client role", field="role", detail=detail)
    return roles[text]
