"""Lists of accounts in one statement: the caller's row, the page, and as much of a total as is cheap.

Totals (decisions 23): up to ``EXACT_TOTAL`` matches are counted; the last page knows its total without counting;
beyond, the total is an estimate. Cursors (decisions 24) continue behind a row by (order value, id), so that their
cost does not grow with depth.

Sizes (decisions 32; S50): Lambda's answer ends at 6 MB, so the large values of a page are limited. A
page by cursor ends before the row that does not fit. A page by offset must not end early: its client goes on behind
``limit`` rows, and would never see those that were cut. It shows every row, and leaves out the large values of the
largest ones.
"""

from itertools import takewhile
from typing import Any

from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from users.access import Account
from users.errors import BadRequest
from users.models import Page, User
from users.repository.accounts import STANDING_COLUMNS
from users.repository.database import QueryTooExpensive, query
from users.rules.cursor import Cursor, Place
from users.rules.listing import Listing

EXACT_TOTAL = 10_000

# Bytes of the large values of one page, as PostgreSQL writes them. In Lambda's answer, which is JSON in JSON, they may
# double; 100 rows without them are less than 1 MB there.
PAGE_BYTES = 2_400_000
# Values of more bytes than this in memory are not even measured, which would take seconds for a page of them. What is
# taken nowadays has at most 400 KB there.
_MEASURED_BYTES = 512 * 1024

_COLUMNS = """
    u.id, u.first_name, u.last_name, u.tags, u.metadata, u.status, u.role, u.profile_picture, u.username, u.email,
    u.created_at AT TIME ZONE 'UTC' AS created_at, u.updated_at AT TIME ZONE 'UTC' AS updated_at, u.updated_by,
    u.verified_at AT TIME ZONE 'UTC' AS verified_at"""

# The value that a list is ordered by, never NULL, and the type its text form is cast back to for a cursor.
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

# The total of a first page, without the part of other pages that would only have to be planned.
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

# The columns without a bound of a few hundred bytes: in the form in which they are answered, and their size in memory
# (not that of the row, where they may be compressed a hundredfold: concatenation unpacks them).
_LARGE = {
    "tags": ("array_to_json(page.tags)", "pg_column_size(page.tags || '{}'::text[])"),
    "metadata": ("page.metadata", "pg_column_size(page.metadata || '{}')"),
    "profile_picture": ("to_json(page.profile_picture)", "octet_length(page.profile_picture)"),
}

# What search shows of an account (contract §1.5); status and role are the constants that it searches for.
_CARD_COLUMNS = """
    u.id, u.first_name, u.last_name, u.metadata, u.username,
    u.created_at AT TIME ZONE 'UTC' AS created_at, u.updated_at AT TIME ZONE 'UTC' AS updated_at"""

# Nothing is searched or counted for a caller who will be refused: this part is decided before the scan starts.
_ENABLED = "EXISTS (SELECT FROM caller c WHERE c.status = 0)"
_ENABLED_ADMIN = "EXISTS (SELECT FROM caller c WHERE c.status = 0 AND c.role = 1)"


def list_users(caller_id: str, listing: Listing) -> tuple[Account | None, Page]:
    """The caller's account, and the page that ``listing`` asks for; the page is empty for one who is no admin.

    BadRequest when the role's statement timeout ended it, or for a cursor that is not of this list.
    """
    return _find(caller_id, listing, operation="list_users", columns=_COLUMNS, admitted=_ENABLED_ADMIN)


def list_for_operator(listing: Listing) -> Page:
    """The same for the operator's command line, which has no account. BadRequest as above."""
    _, page = _find("", listing, operation="list_users", columns=_COLUMNS, admitted="true")
    return page


def search_users(caller_id: str, listing: Listing) -> tuple[Account | None, Page]:
    """The same for anybody enabled, with less of each account."""
    return _find(caller_id, listing, operation="search_users", columns=_CARD_COLUMNS, admitted=_ENABLED)


def _find(
    caller_id: str, listing: Listing, *, operation: str, columns: str, admitted: str
) -> tuple[Account | None, Page]:
    place = Place(operation=operation, order=listing.order, descending=listing.descending)
    names = [column.split()[-1].removeprefix("u.") for column in columns.split(",")]
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
        columns=columns,
        shown=", ".join(_shown(name) for name in names),
        answered=", ".join(_LARGE[name][0] for name in large),
        in_memory=", ".join(_LARGE[name][1] for name in large),
        # By cursor the rows in their order; else the smallest first, so that nobody's small values make way.
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
        rows = query(statement, parameters, read_only=True, prepare=False)
    except QueryTooExpensive as error:
        raise BadRequest(
            "query_too_expensive",
            "the query takes too long: search for a prefix of 3 characters or more, and page by cursor, not by offset",
        ) from error
    account = Account.from_row(rows[0]["caller"]) if rows[0]["caller"] else None
    return account, _page(listing, place, large, rows)


def _shown(name: str) -> str:
    """A column of the answer. Not `fitting.*`: an order value of -infinity has no form in Python."""
    return f"CASE WHEN fits THEN fitting.{name} END AS {name}" if name in _LARGE else f"fitting.{name}"


def _page(listing: Listing, place: Place, large: list[str], rows: list[DictRow]) -> Page:
    found = [row for row in rows if row["id"] is not None]
    shown = found[: listing.limit]
    if listing.cursor:
        # A row that is too large for any page is shown without what is too large.
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
        users=[User.from_row(row if row["fits"] else {**row, "left_out": large}) for row in shown],
        offset=listing.offset,
        limit=listing.limit,
        total=total,
        total_is_estimate=is_estimate,
        next_cursor=cursor,
    )


def _conditions(listing: Listing) -> tuple[str, dict[str, Any]]:
    """The filters as SQL on ``u``, ANDed, and their parameters."""
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
    """A text whose ``%``, ``_`` and backslash stand for themselves in ILIKE (decisions 22)."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
