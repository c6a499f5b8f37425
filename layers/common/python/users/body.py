"""JSON request bodies as Go's ``encoding/json`` reads them (contract §1.2), into pydantic models."""

import json
import math
from typing import Any, NoReturn, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from users.errors import BadRequest

# Far above what metadata needs, far below where a recursion of ours, or of a client, ends.
_MAX_DEPTH = 100


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
        """The fields for which ``null`` is a (wrong) value of its own."""
        return frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The body in ``text``; BadRequest for what is not JSON, not of the model's types, or not storable."""
        try:
            return cls.model_validate(_decode(text))
        except (ValidationError, ValueError, RecursionError) as error:
            raise BadRequest("malformed_body", "request body is not a valid JSON, expecting a valid JSON") from error


def _decode(text: str) -> object:
    """The first JSON value of a text; what follows it is ignored, as upstream does."""
    decoder = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
    value, _ = decoder.raw_decode(text.lstrip(" \t\r\n"))
    _check_storable(value, depth=0)
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError("number out of range")
    return value


def _check_storable(value: Any, depth: int) -> None:
    """ValueError for nesting without end, and for text that PostgreSQL cannot hold: NUL, halves of surrogate pairs."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("NUL character")
        value.encode()  # UnicodeEncodeError, a ValueError, for a lone surrogate
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_storable(key, depth)
            _check_storable(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_storable(item, depth + 1)
