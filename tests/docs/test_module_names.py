"""Modules that prose names in backticks exist, so that a move of a module leaves no old name behind."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.service import ROOT

_FOLDERS = ("functions", "layers", "local", "tests", "docs")
_NAME = re.compile(r"`((?:users|background|local)(?:\.[a-z_]\w*)+)`")
# Names that are no modules: packages of protobuf, attributes of spans, a file of TypeScript.
_OTHERS = re.compile(r"users\.(?:v1\b|operation$|request_id$|d\.ts$)")


def named(text: str) -> set[str]:
    """The dotted names in single or double backticks."""
    return {name for name in _NAME.findall(text) if not _OTHERS.match(name)}


def exists(name: str) -> bool:
    """Whether NAME is a module, or an attribute of one."""
    try:
        import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return bool(module) and exists(module) and hasattr(import_module(module), attribute)
    return True


FILES = [
    path
    for folder in _FOLDERS
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md"} and "node_modules" not in path.parts and path != Path(__file__)
]


@pytest.mark.parametrize("name", sorted({name for path in FILES for name in named(path.read_text())}))
def test_a_named_module_exists(name: str) -> None:
    assert exists(name)


def test_names_in_prose() -> None:
    assert named("``users.repository.database`` and `background.mail`, not users.mail") == {
        "users.repository.database",
        "background.mail",
    }
    assert named("`users.v1.UsersService`, `users.request_id`, `users.html`") == {"users.html"}
    assert not exists("users.auth_client")
    assert exists("users.peers.auth")
