"""Read the imports of a Python file from its text, including imports inside functions."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Yield each module by its full name, with the name that is imported from it, or "" for the module itself."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield from ((node.module, alias.name) for alias in node.names)
