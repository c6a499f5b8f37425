"""SnapStart: an initialized function is stored once, and resumed many times, weeks later and on other machines.

Nothing that belongs to one execution environment may be in the snapshot: connections and channels are closed before it
(the next request opens its own), settings, secrets and keys are read anew. Nothing is opened during init either, so
that no TLS library has seeded its randomness yet; argon2's salts, UUIDs and tokens come from the kernel at each use.
Modules that requests import late are imported before the snapshot, where they cost nothing.
"""

import gc
import importlib
import os
import sys
from collections.abc import Callable
from typing import TypeVar

Forget = TypeVar("Forget", bound=Callable[[], None])

# What requests import when they need it, by the module that does.
_LATE = {
    "users.edge.authentication": ("users.peers.jwt", "users.peers.auth", "users.aws.http_client", "encodings.idna"),
    "users.rules.cursor": ("nacl.bindings", "users.rules.secret_key"),
    "users.rules.passwords": ("re2", "bcrypt"),
}
_forgetting: list[Callable[[], None]] = []


def not_in_snapshots(forget: Forget) -> Forget:
    """Mark a function that closes or forgets what one execution environment keeps between its requests."""
    _forgetting.append(forget)
    return forget


def forget() -> None:
    """Keep nothing, as a new execution environment does."""
    for close in _forgetting:
        close()


def prepare() -> None:
    """At the end of init: look for garbage again, and register what Lambda runs around a snapshot, if it takes one."""
    if not gc.isenabled():  # users/__init__.py
        gc.freeze()
        gc.enable()
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
        from snapshot_restore_py import register_after_restore, register_before_snapshot  # the runtime's

        register_before_snapshot(before_snapshot)
        register_after_restore(after_restore)


def import_late() -> None:
    """Import what requests import when they need it."""
    for module, late in _LATE.items():
        if module in sys.modules:
            for name in late:
                importlib.import_module(name)


def before_snapshot() -> None:
    """Load what requests will need, and let go of what only this environment may have."""
    import_late()
    forget()


def after_restore() -> None:
    """Seed Python's own generator (of trace ids): all that resume one snapshot would draw the same numbers."""
    import random  # 5 ms

    random.seed()
