"""Bootstrap databases of a test's own, and compare the results."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.parts.postgres import PostgresServer
from local.parts.postgres_databases import SUPERUSER
from tests.service import ROOT, Service, handler, lambda_context

ADMINISTRATOR = {"MG_USERS_ADMIN_EMAIL": "root@example.com", "MG_USERS_ADMIN_PASSWORD": "an operator chose this"}

# The definitions of tables and their parts. They do not depend on the order in which the parts were made.
_CATALOG = """
SELECT 'column' AS kind, format('%%s.%%s', c.relname, a.attname) AS name,
    format('%%s null:%%s default:%%s identity:%%s', format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), a.attidentity) AS definition
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint', format('%%s.%%s', conrelid::regclass, conname),
    format('%%s valid:%%s', pg_get_constraintdef(oid), convalidated)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'
UNION ALL SELECT 'index', c.relname,
    format('%%s valid:%%s ready:%%s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisready)
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = 'public'::regnamespace
UNION ALL SELECT 'extension', extname, '' FROM pg_extension
ORDER BY 1, 2, 3"""


@contextmanager
def empty_service(
    postgres: PostgresServer, shared: Service, *, template: str | None = None, owner: str = SUPERUSER
) -> Iterator[Service]:
    """Yield a service on an empty database, or on a copy of a database, with the role ``owner``."""
    name = f"empty_{uuid.uuid4().hex}"
    service = Service(
        shared.environment
        | ADMINISTRATOR
        | {"MG_USERS_DB_NAME": name, "MG_USERS_DB_USER": owner, "MG_USERS_DB_OWNER": ""},
        postgres.create_database(name, template=template, owner=owner),
        shared.auth_environment,
    )
    with service.configured():
        yield service
    postgres.drop_database(name)


def bootstrap(event: dict[str, Any] | None = None, milliseconds: int = 300_000) -> dict[str, Any]:
    done: dict[str, Any] = handler("bootstrap")(event or {}, lambda_context(milliseconds))
    return done


def start_bootstrap(service: Service) -> "subprocess.Popen[str]":
    """Bootstrap in another process. It prints its loaded modules, then its result as the last line."""
    program = (
        "import json, sys; from tests.service import handler, lambda_context;"
        " done = handler('bootstrap')({}, lambda_context(300_000));"
        " print(*sys.modules); print(json.dumps(done))"
    )
    path = ":".join(str(ROOT / part) for part in (".", "layers/common/python", "layers/background/python"))
    return subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**service.environment, "PYTHONPATH": path, "PATH": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def refused(match: str) -> Iterator["pytest.ExceptionInfo[Exception]"]:
    """Expect that the block raises BootstrapFailed with a text that matches."""
    from background.setup.bootstrap import BootstrapFailed

    with pytest.raises(BootstrapFailed, match=match) as caught:
        yield caught


def catalog(service: Service) -> list[tuple[str, str, str]]:
    """Return columns, constraints, indexes and extensions of our tables, and of tables that upstream has as well."""
    return [
        (row["kind"], row["name"], row["definition"])
        for row in service.execute(_CATALOG)
        if "gorp_migrations" not in row["name"]
    ]
