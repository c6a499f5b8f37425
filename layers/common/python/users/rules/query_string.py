"""Query strings, read as Go's ``URL.Query`` reads them, and the readers of single values (contract §3.1)."""

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from users.errors import BadRequest
from users.parsers import boolean

_MAX_BIGINT = 2**63 - 1
_MAX_DIGITS = 4000  # int() refuses more digits
_MAX_BRACKETS = 100  # in a JSON filter, so its nesting is no deeper either
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_TIME_WANTED = "must be a time, as 2026-01-31T12:00:00Z, where + is sent as %2B"
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def invalid_query(name: str, problem: str) -> BadRequest:
    """Return the error for a repeated or unreadable value. ``problem`` follows its name in the message."""
    return BadRequest("invalid_query", "invalid query parameters", field=name, detail=f"{name} {problem}")


class Query:
    """The parameters of one request. Each reader raises BadRequest for a repeated key or an unreadable value."""

    def __init__(self, raw: str) -> None:
        """Read the event's ``rawQueryString``, or a form's body. Drop pairs with a bad escape or ``;``, as Go does."""
        self._values: dict[str, list[str]] = {}
        for pair in raw.split("&"):
            if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
                continue
            name, _, value = pair.replace("+", " ").partition("=")
            self._values.setdefault(_text(name), []).append(_text(value))

    def text(self, name: str, default: str = "") -> str:
        """Return the decoded value, ``default`` when the key is absent."""
        values = self._values.get(name, [default])
        if len(values) > 1:
            raise invalid_query(name, "must be given once")
        if "\0" in values[0] or "\udcff" in values[0]:
            raise invalid_query(name, "must be UTF-8 without NUL characters")
        return values[0]

    def number(self, name: str, default: int) -> int:
        """Return a decimal number without sign or spaces, within PostgreSQL's bigint."""
        text = self.text(name, str(default))
        if not (text.isascii() and text.isdigit()):
            raise invalid_query(name, "must be a whole number")
        if len(text) > _MAX_DIGITS or int(text) > _MAX_BIGINT:
            raise invalid_query(name, "is too large")
        return int(text)

    def flag(self, name: str) -> bool | None:
        """Return a Go boolean, None when the key is absent."""
        if name not in self._values:
            return None
        try:
            return boolean(self.text(name))
        except ValueError as error:
            raise invalid_query(name, "must be true or false") from error

    def json_object(self, name: str) -> dict[str, Any]:
        """Return a JSON object, the empty object for ``null`` and for an absent key."""
        text = self.text(name)
        if name not in self._values:
            return {}
        if text.count("{") + text.count("[") > _MAX_BRACKETS:
            raise invalid_query(name, f"must have at most {_MAX_BRACKETS} objects and arrays in it")
        try:
            value = json.loads(text)
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise invalid_query(name, "must be a JSON object") from error
        if value is not None and not isinstance(value, dict):
            raise invalid_query(name, "must be a JSON object")
        if "\\u0000" in json.dumps(value):
            raise invalid_query(name, "must not hold NUL characters")
        return value or {}

    def moment(self, name: str) -> datetime | None:
        """Return an RFC 3339 time, None when the key is absent or its value empty."""
        text = self.text(name)
        if not text:
            return None
        if not _RFC3339.fullmatch(text):
            raise invalid_query(name, _TIME_WANTED)
        try:
            return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise invalid_query(name, _TIME_WANTED) from error


def _text(escaped: str) -> str:
    """Return the decoded text, or U+DCFF, which ``Query.text`` refuses, for bytes that are not UTF-8."""
    try:
        return unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError:
        return "\udcff"
