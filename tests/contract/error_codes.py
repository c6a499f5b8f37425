"""Read the codes of errors from the source: the values that `error` may have in an answer."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.service import ROOT

LAYER = ROOT / "layers/common/python/users"
# Stands for the unknown part of a composed code, such as `missing_{…}`.
_HOLE = "[a-z_]+"


@cache
def used_codes() -> frozenset[str]:
    """Return the codes of all errors in the operations and the layer that they share, as regular expressions."""
    files = [*ROOT.glob("functions/*/app.py"), *LAYER.rglob("*.py")]
    definitions = ast.parse((LAYER / "errors.py").read_text())
    errors = {node.name: _takes_a_code(node) for node in definitions.body if isinstance(node, ast.ClassDef)}
    return frozenset(code for file in files for code in _codes(ast.parse(file.read_text()), errors))


def _takes_a_code(definition: ast.ClassDef) -> bool:
    """Return whether the caller chooses the code. `Unavailable` always has the same one."""
    inits = [node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    return all("code" in {argument.arg for argument in init.args.args} for init in inits)


def _codes(tree: ast.Module, errors: dict[str, bool]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name in errors:
            yield from _codes_of_class(node)
        elif isinstance(node, ast.Call) and errors.get(ast.unparse(node.func)):
            yield from _codes_of_call(tree, node)
        elif isinstance(node, ast.Dict):  # a body as a literal
            pairs = {ast.unparse(key): value for key, value in zip(node.keys, node.values, strict=True) if key}
            if pairs.keys() == {"'message'", "'error'"}:
                yield from _pattern(pairs["'error'"])


def _codes_of_class(definition: ast.ClassDef) -> Iterator[str]:
    """Yield the default or only code of an error class."""
    for node in ast.walk(definition):
        if isinstance(node, ast.arguments):
            names = [argument.arg for argument in node.args][len(node.args) - len(node.defaults) :]
            defaults = dict(zip(names, node.defaults, strict=True))
            yield from _pattern(defaults.get("code"))
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "super().__init__" and len(node.args) == 2:
            yield from _pattern(node.args[0])


def _codes_of_call(tree: ast.Module, call: ast.Call) -> Iterator[str]:
    """Yield the first of two arguments or, for `Error(*TABLE[…])`, the first of each pair in the table."""
    if len(call.args) == 2:
        yield from _pattern(call.args[0])
    elif call.args and isinstance(call.args[0], ast.Starred):
        table = ast.unparse(call.args[0].value).partition("[")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == table:
                yield from (re.escape(code) for code, _ in ast.literal_eval(node.value).values())


def _pattern(node: ast.expr | None) -> Iterator[str]:
    """Yield a regular expression for a literal text, and nothing for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.escape(node.value)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else _HOLE for part in node.values)
