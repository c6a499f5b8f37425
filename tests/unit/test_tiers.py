"""The order of the tiers (docs/architecture.md): a module imports its own tier and those below, never in a circle."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.imports import imports

ROOT = Path(__file__).parents[2]
_PACKAGES = {"users": ROOT / "layers/common/python", "background": ROOT / "layers/background/python", "functions": ROOT}
# From the bottom to the top. `users` and `background` are the modules that lie in the package itself.
TIERS = (
    "users",
    "users.telemetry",
    "users.aws",
    "users.rules",
    "users.peers",
    "users.repository",
    "users.edge",
    "users.steps",
    "background",
    "background.repository",
    "background.delivery",
    "background.mail",
    "background.removal",
    "background.accounts",
    "background.setup",
    "background.cli",
    "background.users_service",
    "functions",
)
# The entry of `python -m users` starts the commands, which lie above everything.
_ENTRIES = {"users.__main__"}


def _modules() -> dict[str, Path]:
    """Every module of the layers and functions, by its name."""
    found = {}
    for package, folder in _PACKAGES.items():
        for file in (folder / package).rglob("*.py"):
            found[".".join(file.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")] = file
    return found


def _tier(module: str) -> str:
    """The longest of TIERS that begins the module's name."""
    return max((tier for tier in TIERS if f"{module}.".startswith(f"{tier}.")), key=len)


def _targets(file: Path, modules: dict[str, Path]) -> Iterator[str]:
    """The modules of MODULES that a file imports, also inside functions."""
    for module, name in imports(file):
        known = [candidate for candidate in (f"{module}.{name}", module) if candidate in modules]
        yield from known[:1]


MODULES = _modules()
IMPORTS = {name: sorted(set(_targets(file, MODULES)) - {name}) for name, file in MODULES.items()}


def test_there_are_modules_in_every_tier() -> None:
    assert {_tier(name) for name in MODULES} == set(TIERS)


@pytest.mark.parametrize("module", sorted(MODULES.keys() - _ENTRIES))
def test_no_import_points_up(module: str) -> None:
    height = TIERS.index(_tier(module))
    assert [target for target in IMPORTS[module] if TIERS.index(_tier(target)) > height] == []


def test_no_functions_import_each_other() -> None:
    assert [
        target for name in MODULES if _tier(name) == "functions" for target in IMPORTS[name] if "functions" in target
    ] == []


def test_imports_have_no_circle() -> None:
    graph = {name: targets for name, targets in IMPORTS.items() if name not in _ENTRIES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_a_circle_and_an_import_that_points_up_are_found(tmp_path: Path) -> None:
    low, high = tmp_path / "low.py", tmp_path / "high.py"
    low.write_text("from users.steps import high\n")
    high.write_text("def late():\n    from users.rules.low import anything\n")
    modules = {"users.rules.low": low, "users.steps.high": high}
    assert list(_targets(low, modules)) == ["users.steps.high"]
    assert list(_targets(high, modules)) == ["users.rules.low"]
    assert TIERS.index(_tier("users.steps.high")) > TIERS.index(_tier("users.rules.low"))
