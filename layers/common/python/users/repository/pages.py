"""Lists of accounts in one statement: the caller's row, the page, and a total as exact as is cheap.

Totals (decisions 23): up to ``EXACT_TOTAL`` matches are counted. The last page has its total without counting.
Otherwise the total is an estimate. Cursors (decisions 24) continue after a row by (order value, id), so that their cost
does not grow with depth.

Sizes (decisions 32, S50): an answer of Lambda is at most 6 MB, so the large values of a page are limited. A page by
cursor ends before the row that does not fit. A page by offset must not end early: its client continues after ``limit``
rows, and would never see the rows that were cut. So it contains every row, without the large values of the largest
ones.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from users.access import Account
from users.errors import BadRequest
from users.models import Page, User
from users.repository.accounts import STANDING_COLUMNS
from users.repository.database import QueryTooExpensive, query
from users.repository.statements import Statement
from users.rules.cursor import Cursor, Place
from users.rules.listing import Listing

EXACT_TOTAL = 10_000

# Bytes of the large values of one page, as PostgreSQL writes them. In Lambda's answer, which is JSON in JSON, they may
# take twice as many. 100 rows without them take less than 1 MB there.
PAGE_BYTES = 2_400_000
# The statement does not measure values of more bytes than this in memory: a page of them would take seconds. The API
# accepts values of at most 400 KB there.
_MEASURED_BYTES = 512 * 1024

# The columns of a page, as they are selected from ``users u`` (contract §1.5).
_LISTED = {
    "id": "u.id",
    "first_name": "u.first_name",
    "last_name": "u.last_name",
    "tags": "u.tags",
    "metadata": "u.metadata",
    "status": "u.status",
    "role": "u.role",
    "profile_picture": "u.profile_picture",
    "username": "u.username",
    "email": "u.email",
    "created_at": "u.created_at AT TIME ZONE 'UTC' AS created_at",
    "updated_at": "u.updated_at AT TIME ZONE 'UTC' AS updated_at",
    "updated_by": "u.updated_by",
    "verified_at": "u.verified_at AT TIME ZONE 'UTC' AS verified_at",
}
# The columns of a page of a search. Status and role are the constants that it searches for.
_SEARCHED = ("id", "first_name", "last_name", "metadata", "username", "created_at", "updated_at")

# The value that a list is ordered by, never NULL, and the type that a cursor casts its text form to.
_ORDER_VALUES = {
    "updated_at": ("COALESCE(u.updated_at, u.created_at, '-infinity')", "timestamptz"),
    "created_at": ("COALESCE(u.created_at, '-infinity')", "timestamptz"),
    "first_name": ("u.first_name", "varchar"),
    "last_name": ("u.last_name", "varchar"),
    "username": ("COALESCE(u.username, '')", "varchar"),
    "email": ("u.email", "varchar"),
}

_STATEMENT = """
WITH caller AS MATERIALIZED (
    SELECT u.id, u.status, u.role, {standing} FROM users u WHERE u.id = %(caller)s
), page AS MATERIALIZED (
    SELECT {columns}, {value} AS order_value
    FROM users u
    WHERE {admitted} AND NOT %(only_total)s AND {matches} AND {after}
    ORDER BY {value} {direction}, u.id {direction}
    LIMIT %(limit)s + 1 OFFSET %(offset)s
), sized AS (
    SELECT page.*, row_number() OVER in_order AS place, CASE
        WHEN greatest({in_memory}) > %(measured_bytes)s THEN %(page_bytes)s + 1 ELSE octet_length(concat({answered}))
    END AS bytes
    FROM page WINDOW in_order AS (ORDER BY page.order_value {direction}, page.id {direction})
), fitting AS (
    SELECT sized.*, sum(bytes) OVER (ORDER BY {first_to_fit}) <= %(page_bytes)s AS fits FROM sized
), counted AS (
    SELECT {total} AS total
)
SELECT to_jsonb(caller) AS caller, counted.total, {shown}, fits, fitting.order_value::text AS order_text,
    (SELECT reltuples::bigint FROM pg_class WHERE oid = 'users'::regclass) AS rows_in_table
FROM counted LEFT JOIN caller ON true LEFT JOIN fitting ON true
ORDER BY place"""

# The total of a first page. It leaves out the condition of other pages, which PostgreSQL would have to plan.
_FIRST_TOTAL = """CASE
        WHEN (SELECT count(*) FROM page) > %(limit)s
        THEN (SELECT count(*) FROM (SELECT FROM users u WHERE {admitted} AND {matches} LIMIT %(exact_total)s + 1) few)
        ELSE (SELECT count(*) FROM page)
    END"""
_TOTAL = """CASE
        WHEN NOT %(only_total)s AND (SELECT count(*) FROM page) > %(limit)s
        THEN (SELECT count(*) FROM (SELECT FROM users u WHERE {admitted} AND {matches} LIMIT %(exact_total)s + 1) few)
        WHEN NOT %(only_total)s AND {from_start} AND (%(offset)s = 0 OR EXISTS (SELECT FROM page))
        THEN %(offset)s + (SELECT count(*) FROM page)
        ELSE (SELECT count(*) FROM users u WHERE {admitted} AND {matches})
    END"""

# The columns that may be larger than a few hundred bytes: their form in the answer, and their size in memory. In the
# row they may be compressed a hundredfold. Concatenation unpacks them.
_LARGE = {
    "tags": ("array_to_json(page.tags)", "pg_column_size(page.tags || '{}'::text[])"),
    "metadata": ("page.metadata", "pg_column_size(page.metadata || '{}')"),
    "profile_picture": ("to_json(page.profile_picture)", "octet_length(page.profile_picture)"),
}

# PostgreSQL decides this condition before the scan, so it searches and counts nothing for a caller who is refused.
_ENABLED = "EXISTS (SELECT FROM caller c WHERE c.status = 0)"
_ENABLED_ADMIN = "EXISTS (SELECT FROM caller c WHERE c.status = 0 AND c.role = 1)"


def list_users(caller_id: str, listing: Listing) -> tuple[Account | None, Page]:
    """Return the caller's account and the page of ``listing``, which is empty unless the caller is an administrator.

    Raises BadRequest if the role's statement timeout ended the statement, or for the cursor of another list.
    """
    return _find(caller_id, listing, operation="list_users", names=tuple(_LISTED), admitted=_ENABLED_ADMIN)


def list_for_operator(listing: Listing) -> Page:
    """Return the page for the operator's command line, which has no account. BadRequest as ``list_users``."""
    _, page = _find("", listing, operation="list_users", names=tuple(_LISTED), admitted="true")
    return page


def search_users(caller_id: str, listing: Listing) -> tuple[Account | None, Page]:
    """Return the caller's account and the page for any enabled caller, with fewer columns of each account."""
    return _find(caller_id, listing, operation="search_users", names=_SEARCHED, admitted=_ENABLED)


def _find(
    caller_id: str, listing: Listing, *, operation: str, names: tuple[str, ...], admitted: str
) -> tuple[Account | None, Page]:
    place = Place(operation=operation, order=listing.order, descending=listing.descending)
    large = [name for name in names if name in _LARGE]
    value, value_type = _ORDER_VALUES[listing.order]
    direction = "DESC" if listing.descending else "ASC"
    matches, parameters = _conditions(listing)
    after = "true"
    if listing.cursor:
        comparison = "<" if listing.descending else ">"
        after = f"({value}, u.id) {comparison} (%(after_value)s::{value_type}, %(after_id)s::varchar)"
        cursor = Cursor.decode(listing.cursor, place)
        parameters |= {"after_value": cursor.value, "after_id": cursor.id}
    is_first = not (listing.only_total or listing.offset or listing.cursor)
    total = _FIRST_TOTAL if is_first else _TOTAL
    statement = _STATEMENT.format(
        standing=STANDING_COLUMNS,
        columns=", ".join(_LISTED[name] for name in names),
        shown=", ".join(_shown(name) for name in names),
        answered=", ".join(_LARGE[name][0] for name in large),
        in_memory=", ".join(_LARGE[name][1] for name in large),
        # By cursor the rows fit in their order. By offset the smallest fit first, so that no small value is left out.
        first_to_fit="place" if listing.cursor else "bytes, place",
        value=value,
        direction=direction,
        admitted=admitted,
        matches=matches,
        after=after,
        total=total.format(admitted=admitted, matches=matches, from_start="false" if listing.cursor else "true"),
    )
    parameters |= {
        "caller": caller_id,
        "limit": listing.limit,
        "offset": listing.offset,
        "only_total": listing.only_total,
        "exact_total": EXACT_TOTAL,
        "page_bytes": PAGE_BYTES,
        "measured_bytes": _MEASURED_BYTES,
    }
    try:
        rows = query(Statement(operation, statement), parameters, read_only=True, prepare=False)
    except QueryTooExpensive as error:
        raise BadRequest(
            "query_too_expensive",
            "the query takes too long: search for a prefix of 3 characters or more, and page by cursor, not by offset",
        ) from error
    account = Account.from_row(rows[0]["caller"]) if rows[0]["caller"] else None
    return account, _page(listing, place, names, rows)


def _shown(name: str) -> str:
    """Return a column of the answer. It is not `fitting.*`, because Python has no value for -infinity."""
    return f"CASE WHEN fits THEN fitting.{name} END AS {name}" if name in _LARGE else f"fitting.{name}"


def _page(listing: Listing, place: Place, names: Sequence[str], rows: list[DictRow]) -> Page:
    found = [row for row in rows if row["id"] is not None]
    shown = found[: listing.limit]
    if listing.cursor:
        # A row that is too large for any page is shown without its large values.
        shown = shown[:1] + list(takewhile(lambda row: row["fits"], shown[1:]))
    has_next = len(found) > len(shown)
    total, is_estimate = rows[0]["total"], False
    if has_next and total > EXACT_TOTAL:
        estimate = EXACT_TOTAL if listing.is_filtered else rows[0]["rows_in_table"]
        total, is_estimate = max(estimate, total, listing.offset + len(shown) + 1), True
    cursor = ""
    if has_next:
        last = shown[-1]
        cursor = Cursor(value=last["order_text"], id=last["id"]).encode(place)
    return Page(
        users=[_user(row, names) for row in shown],
        offset=listing.offset,
        limit=listing.limit,
        total=total,
        total_is_estimate=is_estimate,
        next_cursor=cursor,
    )


def _user(row: DictRow, names: Sequence[str]) -> User:
    """Return the account of a row, which has no large values where they do not fit into the page."""
    user = User.from_row(row, names)
    return user if row["fits"] else replace(user, left_out=[name for name in names if name in _LARGE])


def _conditions(listing: Listing) -> tuple[str, dict[str, Any]]:
    """Return the filters as one SQL condition on ``users u``, and their parameters."""
    conditions, parameters = ["true"], dict[str, Any]()
    if listing.status is not None:
        conditions.append("u.status = %(status)s")
        parameters["status"] = int(listing.status)
    if listing.role is not None:
        conditions.append("u.role = %(role)s")
        parameters["role"] = int(listing.role)
    for column, part in listing.contains.items():
        conditions.append(f"u.{column} ILIKE %(contains_{column})s")
        parameters[f"contains_{column}"] = f"%{escape_like(part)}%"
    if listing.verified is not None:
        conditions.append(f"u.verified_at IS {'NOT ' if listing.verified else ''}NULL")
    if listing.metadata:
        conditions.append("u.metadata @> %(metadata)s")
        parameters["metadata"] = Jsonb(listing.metadata)
    if listing.tags:
        conditions.append(f"u.tags {'@>' if listing.all_tags else '&&'} %(tags)s::text[]")
        parameters["tags"] = listing.tags
    for name, comparison in (("created_from", ">="), ("created_to", "<=")):
        if (moment := getattr(listing, name)) is not None:
            conditions.append(f"u.created_at {comparison} %({name})s")
            parameters[name] = moment
    return " AND ".join(conditions), parameters


def escape_like(text: str) -> str:
    """Escape a text, so that ``%``, ``_`` and backslash stand for themselves in ILIKE (decisions 22)."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
