"""Trials of tests and developers on the running service, if AUTH_FAULTS=1 allows them.

``/faults`` adds, lists and clears faults of gRPC methods. ``/rotations`` replaces the key that signs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from local.auth.faults import Fault, Faults

if TYPE_CHECKING:
    from collections.abc import Callable

    Keys = list[dict[str, str]]


class Trials:
    """The trials by method and path. Each takes the body of a request and returns a document."""

    def __init__(self, faults: Faults, rotate_keys: Callable[[str], None], keys: Callable[[], Keys]) -> None:
        """`rotate_keys` takes a key id, or "" for the one in use, and may raise ValueError."""
        self._faults = faults
        self._rotate_keys = rotate_keys
        self._keys = keys

    def find(self, method: str, path: str) -> Callable[[bytes], object] | None:
        """Return the trial for a request, or None. The trial raises ValueError for a wrong body."""
        trials = {
            ("GET", "/faults"): self._list_faults,
            ("POST", "/faults"): self._add_fault,
            ("DELETE", "/faults"): self._clear_faults,
            ("POST", "/rotations"): self._rotate,
        }
        return trials.get((method, path))

    def _list_faults(self, _body: bytes) -> object:
        return self._faults.as_json()

    def _add_fault(self, body: bytes) -> object:
        self._faults.add(Fault.from_json(body))
        return self._faults.as_json()

    def _clear_faults(self, _body: bytes) -> object:
        self._faults.clear()
        return self._faults.as_json()

    def _rotate(self, body: bytes) -> object:
        self._rotate_keys(_key_id(body))
        return self._keys()


def _key_id(order: bytes) -> str:
    """Return the key id of an order to rotate, "" for the one in use. Raise ValueError for any other body."""
    document = json.loads(order)
    kid = document.get("kid", "") if isinstance(document, dict) else None
    if not isinstance(kid, str):
        raise ValueError('expected {} or {"kid": "..."}')  # noqa: TRY004 - the caller reports a wrong text
    return kid
