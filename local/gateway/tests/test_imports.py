"""The gateway and Auth can be taken out, and the imports between the gateway's folders point one way."""

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
    """Yield file and imported module of every import of the package, also in functions, but not of its tests."""
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
    """Packages of others do not count."""
    own = [(path, name) for path, name in _imported(package) if name.partition(".")[0] in _OF_THE_PROJECT]
    assert own
    assert [(path, name) for path, name in own if not f"{name}.".startswith(allowed)] == []


# Each may import those before it.
_ORDER = [
    *("stack", "invocation", "schedules", "template", "environments"),
    *("lambda_service", "http", "settings", "http_servers", "server", "__main__"),
]


def test_imports_between_the_gateways_folders_point_one_way() -> None:
    """A module or folder imports only itself and those before it."""
    for path, name in _imported("local/gateway"):
        if name.startswith("local.gateway."):
            importing, imported = Path(path).relative_to(_ROOT / "local/gateway").parts[0], name.split(".")[2]
            assert _ORDER.index(imported) <= _ORDER.index(importing.removesuffix(".py")), (path, name)
