"""The gateway, Auth and what both share can be taken out: they import nothing else of this project."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[3]
_OF_THE_PROJECT = {"local", "tests", *(path.name for path in _ROOT.glob("layers/*/python/*")), "layers", "benchmarks"}


def _imported(package: str) -> Iterator[tuple[str, str]]:
    """File and imported module of every import of the package, those in functions too; its tests are left out."""
    for path in (_ROOT / package).rglob("*.py"):
        if "tests" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ((str(path), name) for name in names)


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("local/gateway", ("local.gateway.", "local.serving.")),
        ("local/auth", ("local.auth.", "local.serving.")),
        ("local/serving", ("local.serving.",)),
    ],
)
def test_a_package_imports_only_what_goes_with_it(package: str, allowed: tuple[str, ...]) -> None:
    """Third-party packages aside."""
    own = [(path, name) for path, name in _imported(package) if name.partition(".")[0] in _OF_THE_PROJECT]
    assert own
    assert [(path, name) for path, name in own if not f"{name}.".startswith(allowed)] == []
