"""Making an event fit its destination (decisions 32; S50).

What this service takes fits everywhere. An account of a database that was taken over may have larger values, and its
events must neither be lost nor hold up those behind them.
"""

import json
from collections.abc import Mapping
from typing import Any

# The keys whose values have no bound of a few hundred bytes (contract §7.2).
_LARGE = {"metadata", "tags", "profile_picture"}


def as_json(value: Any) -> bytes:
    """Return a value as an event carries it: JSON without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def fitted(payload: Mapping[str, Any], most_bytes: int) -> dict[str, Any]:
    """Return the event's payload in ``most_bytes`` of JSON, if leaving out large values makes it fit.

    The largest go first. ``left_out`` then names them, so that a receiver knows that it has to ask for them.
    """
    told, left_out = dict(payload), list[str]()
    while len(as_json(told)) > most_bytes and (large := told.keys() & _LARGE):
        name = max(large, key=lambda name: len(as_json(told[name])))
        del told[name]
        left_out.append(name)
        told["left_out"] = left_out
    return told
