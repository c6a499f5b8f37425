"""SnapStart: Lambda stores an initialized function once, and resumes it many times, weeks later, on other machines.

A snapshot must not contain anything that belongs to one execution environment. So connections and channels are closed
before it, and the next request opens new ones. Settings, secrets and keys are read again. Init opens nothing either, so
that no TLS library has seeded its randomness. Argon2's salts, UUIDs and tokens come from the kernel at each use.
Modules that requests import late are imported before the snapshot, where their time does not count.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable
from typing import TypeVar

Forget = TypeVar("Forget", bound=Callable[[], None])

# Modules that requests import late, by the module that imports them.
_LATE = {
    "users.edge.authentication": ("users.peers.jwt", "users.peers.auth", "users.aws.http_client", "encodings.idna"),
    "users.rules.cursor": ("nacl.bindings", "users.rules.secret_key"),
    "users.rules.passwords": ("re2", "bcrypt"),
}
_forgetting: list[Callable[[], None]] = []


def not_in_snapshots(forget: Forget) -> Forget:
    """Register a function that closes or forgets the kept state of one execution environment."""
    _forgetting.append(forget)
    return forget


def forget() -> None:
    """Forget all kept state, as in a new execution environment."""
    for close in _forgetting:
        close()


def prepare() -> None:
    """End init: turn garbage collection on, and register the hooks of a snapshot if Lambda takes one."""
    if not gc.isenabled():  # users/__init__.py
        gc.freeze()
        gc.enable()
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from snapshot_restore_py import register_after_restore, register_before_snapshot  # the runtime's

        register_before_snapshot(before_snapshot)
        register_after_restore(after_restore)


def import_late() -> None:
    """Import the modules that requests import late."""
    for module, late in _LATE.items():
        if module in sys.modules:
            for name in late:
                importlib.import_module(name)


def before_snapshot() -> None:
    """Load the modules that requests will need, and forget the state of this environment."""
    import_late()
    forget()


def after_restore() -> None:
    """Seed Python's generator of trace ids. Otherwise all copies of one snapshot would draw the same numbers."""
    import random  # 5 ms

    random.seed()
