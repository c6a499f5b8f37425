"""Heavy modules that each function may load before its first request: the cost of a cold start (architecture.md).

The names are a budget, not a description. An ordinary operation has ORDINARY. A function that may load less, or needs
more, is in BUDGETS. A change that adds a name explains it. A module that only some requests need is imported late.
"""

import os
import subprocess
import sys
from functools import cache
from typing import NamedTuple

import pytest

from tests.service import ROOT

# Modules that take 10 ms or more. boto3's weight is botocore.session (Powertools checks the bare package).
HEAVY = frozenset({
    "alembic", "authzed", "aws_lambda_powertools.event_handler", "aws_xray_sdk", "bcrypt", "boto3", "botocore.session",
    "google.protobuf", "grpc", "idna", "nacl", "nats", "opentelemetry", "psycopg", "pydantic", "re2", "requests",
    "sqlalchemy", "urllib.request",
})  # fmt: skip

FUNCTIONS = {path.parent.name for path in ROOT.glob("functions/*/app.py")}

ROWS = frozenset({"psycopg"})
BODY = ROWS | {"pydantic"}
AUTH = ROWS | {"grpc", "google.protobuf"}
SESSIONS = AUTH | {"nacl"}  # sessions end or begin: Auth, and the ids in its tokens

ORDINARY = BODY

BUDGETS = {
    "bootstrap": ROWS | {"nacl"},
    "check_version": frozenset[str](),
    "delete_user": SESSIONS,
    "deliver_outbox": ROWS,
    "disable_user": SESSIONS,
    "docs": frozenset[str](),
    "enable_user": ROWS,
    "health": AUTH,
    "issue_token": SESSIONS | {"pydantic"},
    "list_refresh_tokens": AUTH,
    "list_users": ROWS,
    "openapi": frozenset[str](),
    "password_policy": frozenset[str](),
    "record_mail_feedback": ROWS,
    "refresh_token": SESSIONS,
    "register_user": BODY | {"nacl"},
    "report_telemetry": frozenset[str](),
    "reset_password": SESSIONS | {"pydantic"},
    "revoke_refresh_token": AUTH | {"pydantic"},
    "search_users": ROWS,
    "send_verification": ROWS,
    "sweep_accounts": ROWS,
    "update_user_role": SESSIONS | {"pydantic"},
    "update_user_secret": SESSIONS | {"pydantic"},
    "verify_email": ROWS,
    "view_profile": ROWS,
    "view_user": ROWS,
}


class Imported(NamedTuple):
    """A process that has imported a function: its heavy modules, and what it did about garbage."""

    loaded: set[str]
    collections: int
    is_collecting: bool
    frozen: int


@cache
def imported(operation: str) -> Imported:
    """Import the function in a new process as Lambda does."""
    folder = ROOT / "functions" / operation
    path = [folder, *(ROOT / "layers" / layer / "python" for layer in ("common", "background"))]
    variables = {"AWS_REGION": "eu-central-1", "AWS_LAMBDA_FUNCTION_NAME": operation}
    environment = {**os.environ, **variables, "PYTHONPATH": os.pathsep.join(map(str, path))}
    # The collections first, because the other values make garbage.
    values = (
        f"gc.get_stats()[0]['collections'], gc.isenabled(), gc.get_freeze_count(), *{set(HEAVY)!r} & sys.modules.keys()"
    )
    code = f"import gc, sys, app; print({values})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    collections, is_collecting, frozen, *loaded = done.stdout.split()
    return Imported(set(loaded), int(collections), is_collecting == "True", int(frozen))


def test_a_budget_is_of_a_function_and_not_the_ordinary_one() -> None:
    assert BUDGETS.keys() <= FUNCTIONS
    assert ORDINARY not in BUDGETS.values()


def test_budgets_name_what_is_watched() -> None:
    assert ORDINARY.union(*BUDGETS.values()) <= HEAVY


@pytest.mark.parametrize("operation", sorted(FUNCTIONS))
def test_a_function_loads_no_more_than_its_budget(operation: str) -> None:
    assert imported(operation).loaded <= BUDGETS.get(operation, ORDINARY)


@pytest.mark.parametrize("operation", ["view_profile", "deliver_outbox"])
def test_garbage_is_looked_for_once_all_is_imported(operation: str) -> None:
    """Collection starts after the imports (users/__init__.py), and skips the imported objects."""
    assert imported(operation).is_collecting
    assert imported(operation).frozen > 10_000


# register_user imports pydantic before `users`.
@pytest.mark.parametrize("operation", sorted(FUNCTIONS - {"register_user"}))
def test_garbage_is_not_looked_for_while_packages_are_imported(operation: str) -> None:
    """Each function imports `users` first. psycopg and other packages come after it."""
    assert imported(operation).collections < 30  # 70 if psycopg comes before `users`


def test_the_watch_sees_what_is_loaded() -> None:
    assert imported("register_user").loaded >= {"psycopg", "pydantic"}
