"""Faults of the gRPC methods on demand, if AUTH_FAULTS=1 allows them. README.md shows how to add one.

Authorize and Issue ask SpiceDB. After a fault of `CheckPermission`, they answer what the real Auth answers when SpiceDB
fails so.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass

import grpc

HANG = "HANG"
CHECK_PERMISSION = "CheckPermission"
_LONGEST_HANG = 60.0  # seconds, for callers without a deadline


@dataclass(slots=True)
class Fault:
    """The failure of the next `calls` calls of a method, or of all calls. `after`: the call does its work first."""

    method: str
    status: str
    calls: int | None = None
    after: bool = False

    @classmethod
    def from_json(cls, text: bytes) -> Fault:
        """Read the fault that a client posts. Raise ValueError, whose text names the mistake."""
        try:
            fault = cls(**json.loads(text))
        except TypeError as error:
            raise ValueError('expected {"method", "status"[, "calls"][, "after"]}') from error
        if fault.status != HANG and fault.status not in grpc.StatusCode.__members__:
            raise ValueError("status: HANG or the name of a gRPC status")
        if fault.method == CHECK_PERMISSION and fault.status == HANG:
            raise ValueError("CheckPermission cannot hang: let Authorize hang, which the caller's deadline ends")
        if fault.calls is not None and (not isinstance(fault.calls, int) or fault.calls < 1):
            raise ValueError("calls: a number from 1 on")
        return fault


class Faults:
    """The faults that wait for calls, the oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault, from the next call on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def as_json(self) -> list[dict[str, object]]:
        """Return the remaining faults."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def next(self, method: str) -> Fault | None:
        """Return the fault that a call of the method meets now, and count this call."""
        with self._lock:
            for fault in self._faults:
                if fault.method == method:
                    if fault.calls is not None:
                        fault.calls -= 1
                        if not fault.calls:
                            self._faults.remove(fault)
                    return fault
        return None


def hang(context: grpc.ServicerContext) -> None:
    """Return when the caller has given up."""
    given_up = threading.Event()
    if context.add_callback(given_up.set):
        given_up.wait(_LONGEST_HANG)
