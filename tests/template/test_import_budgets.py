"""Which heavy modules each function may load before its first request: what a cold start pays for (architecture.md).

The names are a budget, not a description: a function that needs another one gets it here, with its reason in the
change. What only certain requests or settings need is imported by them, and is on nobody's list.
"""

import os
import subprocess
import sys

import pytest

from tests.service import ROOT

# Modules that take 10 ms or more; boto3's weight is botocore.session (Powertools looks at the bare package).
HEAVY = frozenset({
    "alembic", "authzed", "aws_lambda_powertools.event_handler", "aws_xray_sdk", "bcrypt", "boto3", "botocore.session",
    "google.protobuf", "grpc", "nacl", "nats", "opentelemetry", "psycopg", "pydantic", "re2", "requests", "sqlalchemy",
    "urllib.request",
})  # fmt: skip

ROWS = frozenset({"psycopg"})
BODY = ROWS | {"pydantic"}
AUTH = ROWS | {"grpc", "google.protobuf"}
SESSIONS = AUTH | {"nacl"}  # sessions end or begin: Auth, and the ids in its tokens

BUDGETS = {
    "bootstrap": ROWS | {"nacl"},
    "delete_user": SESSIONS,
    "deliver_outbox": ROWS,
    "disable_user": SESSIONS,
    "enable_user": ROWS,
    "health": frozenset[str](),
    "issue_token": SESSIONS | {"pydantic"},
    "list_refresh_tokens": AUTH,
    "list_users": ROWS,
    "openapi": frozenset[str](),
    "record_mail_feedback": ROWS,
    "refresh_token": SESSIONS,
    "register_user": BODY | {"nacl"},
    "report_telemetry": frozenset[str](),
    "request_password_reset": BODY,
    "reset_password": SESSIONS | {"pydantic"},
    "revoke_refresh_token": AUTH | {"pydantic"},
    "search_users": ROWS,
    "send_verification": ROWS,
    "sweep_accounts": ROWS,
    "update_profile_picture": BODY,
    "update_user": BODY,
    "update_user_email": BODY,
    "update_user_role": SESSIONS | {"pydantic"},
    "update_user_secret": SESSIONS | {"pydantic"},
    "update_user_tags": BODY,
    "update_username": BODY,
    "verify_email": ROWS,
    "view_profile": ROWS,
    "view_user": ROWS,
}


def loaded(operation: str) -> set[str]:
    """The heavy modules that are there once a new process has imported the function."""
    folder = ROOT / "functions" / operation
    path = [folder, *(ROOT / "layers" / layer / "python" for layer in ("common", "operations"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "AWS_REGION": "eu-central-1"}
    code = f"import sys, app; print(*{set(HEAVY)!r} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_every_function_has_a_budget() -> None:
    assert sorted(BUDGETS) == sorted(path.parent.name for path in ROOT.glob("functions/*/app.py"))


def test_budgets_name_what_is_watched() -> None:
    assert frozenset().union(*BUDGETS.values()) <= HEAVY


@pytest.mark.parametrize("operation", sorted(BUDGETS))
def test_a_function_loads_no_more_than_its_budget(operation: str) -> None:
    assert loaded(operation) <= BUDGETS[operation]


def test_the_watch_sees_what_is_loaded() -> None:
    assert loaded("register_user") >= {"psycopg", "pydantic"}
