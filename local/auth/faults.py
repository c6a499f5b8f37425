"""Faults of the gRPC methods on demand, where AUTH_FAULTS=1 allows it: to try what a client does about them.

    curl -X POST localhost:9001/faults -d '{"method": "WriteRelationships", "status": "UNAVAILABLE", "calls": 3}'
    curl localhost:9001/faults
    curl -X DELETE localhost:9001/faults

`status` is a gRPC status, or HANG: no answer before the caller gives up. `calls` is how many calls it meets; left out,
all until it is cleared. `after: true` lets the call do its work first: only its answer is lost.

A fault of `CheckPermission` is one of SpiceDB: Authorize and Issue ask it, and answer what the real Auth answers then.
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
    """What goes wrong with a method."""

    method: str
    status: str
    calls: int | None = None
    after: bool = False

    @classmethod
    def from_json(cls, text: bytes) -> Fault:
        """Read what a client posts. Raises ValueError, whose text says what is wrong."""
        try:
            fault = cls(**json.loads(text))
        except TypeError as error:
            raise ValueError('expected {"method", "status"[, "calls"][, "after"]}') from error
        if fault.status != HANG and fault.status not in grpc.StatusCode.__members__:
            raise ValueError("status: HANG or the name of a gRPC status")
        if fault.method == CHECK_PERMISSION and fault.status == HANG:
            raise ValueError("CheckPermission does not hang: a caller's deadline ends Authorize, so let that one hang")
        if fault.calls is not None and (not isinstance(fault.calls, int) or fault.calls < 1):
            raise ValueError("calls: a number from 1 on")
        return fault


class Faults:
    """The faults that wait for calls, the oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Have a fault from the next call on."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Have no faults."""
        with self._lock:
            self._faults.clear()

    def as_json(self) -> list[dict[str, object]]:
        """Those that are left."""
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def next(self, method: str) -> Fault | None:
        """The fault that a call of the method meets, which is one less to come."""
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
