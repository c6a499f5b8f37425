"""JSON request bodies as Go's ``encoding/json`` reads them (contract §1.2), into pydantic models."""

import json
import math
from decimal import Decimal
from typing import Annotated, Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from users.errors import BadRequest, Detail

# Metadata needs far less. The recursion limits of this service and of clients are far higher.
_MAX_DEPTH = 100
_TOO_DEEP = f"is nested deeper than {_MAX_DEPTH} levels"
_TOO_LARGE = "holds a number beyond the range of a 64-bit float"
_MAX_DIGITS = 310  # with the sign: the largest 64-bit float has 309
_FIRST_EXPONENT = 1e16  # from here on Python writes floats with an exponent
# Upstream's message, for a wrong type as well (contract §1.2).
_NO_JSON = "request body is not a valid JSON, expecting a valid JSON"
# The types of the models' fields, by the words of pydantic's error types.
_KINDS = {
    "string": "a string",
    "list": "an array",
    "dict": "an object",
    "model": "an object",
    "datetime": "a time, as 2026-01-31T12:00:00Z",
}

# A list of strings. The error names only the first wrong entry, because a body has room for half a million.
Strings = Annotated[list[str], Field(fail_fast=True)]


class Body(BaseModel):
    """A request body. Unknown keys are ignored, keys match in any letter case, ``null`` means absent."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _fold(cls, value: object) -> object:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return value
        names = {name.lower(): name for name in cls.model_fields}
        kept = {names[key.lower()]: item for key, item in value.items() if key.lower() in names}
        return {name: item for name, item in kept.items() if item is not None or name in cls.takes_null()}

    @classmethod
    def takes_null(cls) -> frozenset[str]:
        """Return the fields for which ``null`` is a wrong value. For all other fields ``null`` means absent."""
        return frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the body in ``text``. BadRequest unless it is JSON of the model's types that can be stored."""
        try:
            return cls.model_validate(_decode(text))
        except _UnstorableError as error:
            raise BadRequest("malformed_body", f"request body {error}") from error
        except RecursionError as error:
            raise BadRequest("malformed_body", f"request body {_TOO_DEEP}") from error
        except ValidationError as error:  # it is a ValueError, too
            raise BadRequest("malformed_body", _NO_JSON, details=_wrong_types(error)) from error
        except ValueError as error:
            raise BadRequest("malformed_body", _NO_JSON) from error


class _UnstorableError(Exception):
    """Valid JSON that cannot be stored. The text completes the sentence "request body …"."""


def _wrong_types(error: ValidationError) -> list[Detail]:
    """Return each value of a wrong type, named by its path, as ``credentials.username`` or ``tags.0``."""
    details = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        field = ".".join(map(str, problem["loc"]))
        kind = _KINDS.get(problem["type"].partition("_")[0], "of another type")
        details.append(Detail(field, "malformed_body", f"{field or 'request body'} must be {kind}"))
    return details


def _decode(text: str) -> object:
    """Return the first JSON value of a text. Like upstream, ignore the rest."""
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_float, parse_int=_integer)
    value, _ = decoder.raw_decode(text.lstrip(" \t\r\n"))
    _check_storable(value, depth=0)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _float(number: str) -> float | int:
    """Return the number as a 64-bit float, in the form in which PostgreSQL will return it.

    ``jsonb`` has no exponents and no negative zero: ``1e+22`` comes back as an integer.
    """
    value = float(number) + 0.0
    if not math.isfinite(value):
        raise _UnstorableError(_TOO_LARGE)
    return int(Decimal(repr(value))) if abs(value) >= _FIRST_EXPONENT else value


def _integer(number: str) -> int:
    """Return an integer of any precision, within the range of a 64-bit float, so that every client can read it."""
    if len(number) > _MAX_DIGITS or not math.isfinite(float(number)):
        raise _UnstorableError(_TOO_LARGE)
    return int(number)


def _check_storable(value: Any, depth: int) -> None:
    """Raise _UnstorableError for deep nesting, and for text that PostgreSQL cannot store: NUL, half surrogate pairs."""
    if depth > _MAX_DEPTH:
        raise _UnstorableError(_TOO_DEEP)
    if isinstance(value, str):
        if "\0" in value:
            raise _UnstorableError("holds a NUL character, which cannot be stored")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _UnstorableError("holds half of a surrogate pair, which is no character") from error
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_storable(key, depth)
            _check_storable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_storable(item, depth + 1)
