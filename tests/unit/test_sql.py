"""The places of SQL, the modules that write a table, and the declared needs of parts (docs/architecture.md)."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from background.repository.forgetting import EXPIRED_ROWS, OLD_ROWS
from users.repository.statements import Part

ROOT = Path(__file__).parents[2]
_PACKAGES = {"users": ROOT / "layers/common/python", "background": ROOT / "layers/background/python", "functions": ROOT}
# The folders with all SQL of rows, and with all SQL of the schema.
REPOSITORIES = ("users.repository", "background.repository")
_SETUP = "background.setup"

_STATEMENT = re.compile(r"\b(SELECT|INSERT\s+INTO|UPDATE\s+\w+(\s+\w+)?\s+SET|DELETE\s+FROM)\b")
_WRITE = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(users\w*)")

# The modules that write a table, without the prefixes `users.repository` and `background.repository`.
WRITERS = {
    "users": {
        "users.accounts",
        "users.changes",
        "users.logins",
        "users.one_time_tokens",
        "users.purges",
        "users.verifications",
        "background.removals",
        "background.transfer",
    },
    "users_known_addresses": {"users.known_addresses", "background.forgetting"},
    "users_login_failures": {"users.login_failures"},
    "users_mail_suppressions": {"users.suppressions", "background.forgetting", "background.suppressions"},
    "users_one_time_tokens": {
        "users.links",
        "users.one_time_tokens",
        "background.accounts",
        "background.forgetting",
        "background.mails",
        "background.transfer",
    },
    "users_outbox": {"users.outbox", "background.deliveries", "background.mails", "background.undelivered"},
    "users_relay": {"users.outbox", "background.deliveries"},
    "users_throttle": {"users.throttles", "background.forgetting"},
    "users_verifications": {"users.verifications", "background.forgetting"},
}


def _modules() -> Iterator[tuple[str, Path]]:
    for package, folder in _PACKAGES.items():
        for file in sorted((folder / package).rglob("*.py")):
            yield ".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"), file


def _texts(file: Path) -> Iterator[str]:
    """Yield the strings of a module without its docstrings. In an f-string, each expression becomes a blank."""
    tree = ast.parse(file.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    left_out = {id(statement.value) for statement in first if isinstance(statement, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in node.values}
            yield " ".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.value


MODULES = dict(_modules())
SOURCES = {name: file for name, file in MODULES.items() if name.startswith(tuple(f"{each}." for each in REPOSITORIES))}


@pytest.mark.parametrize("name", sorted(name for name in MODULES if not name.startswith((*REPOSITORIES, _SETUP))))
def test_no_sql_elsewhere(name: str) -> None:
    assert [text for text in _texts(MODULES[name]) if _STATEMENT.search(text)] == []


def test_sql_is_found(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        '"""UPDATE users SET"""\nx = f"SELECT {1} FROM users"\ny = "UPDATE users u SET role = 1"\nz = "Select"\n'
    )
    assert len([text for text in _texts(file) if _STATEMENT.search(text)]) == 2


def test_every_table_has_its_writers() -> None:
    writers = dict[str, set[str]]()
    for name, file in SOURCES.items():
        for text in _texts(file):
            for table in _WRITE.findall(text):
                writers.setdefault(table, set()).add(name.replace(".repository.", "."))
    for rows in (*OLD_ROWS, *EXPIRED_ROWS):  # the text of their statement has no name of a table
        writers.setdefault(rows.table, set()).add("background.forgetting")
    assert writers == WRITERS


def test_the_outbox_is_filled_by_one_text() -> None:
    texts = [text for file in SOURCES.values() for text in _texts(file)]
    assert sum("INSERT INTO users_outbox" in text for text in texts) == 1


def test_no_two_statements_have_one_name() -> None:
    names = [name for file in SOURCES.values() for name in _statement_names(file)]
    assert len(names) > 50
    assert sorted(names) == sorted(set(names))


def _statement_names(file: Path) -> Iterator[str]:
    """Yield the literal names that a module gives its statements."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Statement":
            (first, *_) = node.args
            if isinstance(first, ast.Constant):
                yield str(first.value)


def _parts() -> Iterator[tuple[str, Part]]:
    for name in SOURCES:
        for attribute, value in vars(importlib.import_module(name)).items():
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, Part):
                    yield f"{name}.{attribute}.{part.name}", part


PARTS = dict(_parts())


@pytest.mark.parametrize("name", sorted(PARTS))
def test_a_part_declares_what_it_reads(name: str) -> None:
    """A name after FROM, JOIN or USING is a table, a function, or a CTE that the part needs."""
    part = PARTS[name]
    read = set(re.findall(r"\b(?:FROM|JOIN|USING)\s+([a-z_]\w*)\b(?!\s*[(.])", part.sql))
    tables = {table for table in read if table.split("_")[0] == "users"}
    aliases = set(re.findall(r"\)\s+(?:AS\s+)?(\w+)", part.sql))
    assert read - tables - aliases <= part.needs.keys()
    assert all(re.search(rf"\b{cte}\b", part.sql) for cte in part.needs)
