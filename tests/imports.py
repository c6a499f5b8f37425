"""What a Python file imports, read from its text: also inside functions, where only certain requests come to it."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Each module by its full name, with the name that is taken from it, "" for the module itself."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ((node.module, alias.name) for alias in node.names)
