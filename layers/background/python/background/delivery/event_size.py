"""Events of a size that their destination accepts (decisions 32, S50).

Values that this service accepts fit everywhere. An account of a taken-over database may have larger values. Its events
must not be lost, and must not block later events.
"""

import json
from collections.abc import Mapping
from typing import Any

# The keys whose values have no bound of a few hundred bytes (contract §7.2).
_LARGE = {"metadata", "tags", "profile_picture"}


def as_json(value: Any) -> bytes:
    """Return a value as events contain it: JSON without spaces, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def fitted(payload: Mapping[str, Any], most_bytes: int) -> dict[str, Any]:
    """Return the payload without as many of its large values as needed to fit ``most_bytes`` of JSON.

    The largest value goes first. ``left_out`` contains the names, so that a receiver can ask the API for the values.
    """
    kept, left_out = dict(payload), list[str]()
    while len(as_json(kept)) > most_bytes and (large := kept.keys() & _LARGE):
        name = max(large, key=lambda name: len(as_json(kept[name])))
        del kept[name]
        left_out.append(name)
        kept["left_out"] = left_out
    return kept
