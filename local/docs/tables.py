"""Writes the tables of docs/: the service's variables, the stack's other parameters, and costs.

A table is between `<!-- name -->` and `<!-- /name -->`. Its source is `users.settings.Settings`, template.yaml, or the
output of benchmarks/cost.py or benchmarks/capacity.py. In template.yaml, the parameter for `MG_USERS_DB_HOST` is
`DbHost`, and for a secret it is `<Name>SecretArn`.
"""

import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from users.settings import Settings, Variable

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "docs" / "configuration.md"
COST = ROOT / "docs" / "cost.md"
PERFORMANCE = ROOT / "docs" / "performance.md"
TEMPLATE = ROOT / "template.yaml"


def pages() -> dict[Path, str]:
    """Return the pages with their current tables. Raise ValueError if one has no place for a table."""
    parameters: dict[str, Any] = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))["Parameters"]
    tables: dict[Path, dict[str, Iterable[str]]] = {
        CONFIGURATION: {"settings": _settings(parameters), "parameters": _parameters(parameters)},
        COST: {"costs": _printed("cost.py")},
        PERFORMANCE: {"capacity": _printed("capacity.py")},
    }
    return {page: _filled(page.read_text(encoding="utf-8"), of_page) for page, of_page in tables.items()}


def _printed(program: str) -> list[str]:
    """Return the lines that a program of benchmarks/ prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / program)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def write() -> None:
    """Update the pages."""
    for page, text in pages().items():
        page.write_text(text, encoding="utf-8")


def _filled(page: str, tables: Mapping[str, Iterable[str]]) -> str:
    for name, lines in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        parts = re.fullmatch(rf"(.*{begin}).*({end}.*)", page, re.DOTALL)
        if parts is None:
            raise ValueError(f"no {begin.strip()} … {end}")
        page = parts[1] + "".join(f"{line}\n" for line in lines) + parts[2]
    return page


def setting_row(variable: Variable[Any]) -> str:
    """Return a variable's name, default and meaning, as the beginning of a row."""
    return f"| `{variable.name}` | {_code(variable.default)} | {variable.about} |"


def parameter_of(variable: str, parameters: Mapping[str, Any]) -> str | None:
    """Return the parameter that contains the variable's value, or the ARN of its secret."""
    name = re.sub("^MG_(USERS_)?", "", variable).title().replace("_", "")
    return next((each for each in (name, f"{name}SecretArn") if each in parameters), None)


def _settings(parameters: Mapping[str, Any]) -> Iterator[str]:
    yield "| variable | default | meaning | parameter of the stack |"
    yield "|---|---|---|---|"
    for variable in Settings.variables():
        name = parameter_of(variable.name, parameters)
        parameter = f"`{name}`" if name else ""
        if name:
            default = str(parameters[name].get("Default", ""))
            if default not in ("", variable.default):
                parameter += f" (`{default}`)"
            if meaning := parameters[name].get("Description"):
                parameter += f": {meaning}"
        yield f"{setting_row(variable)} {parameter} |"


def _parameters(parameters: Mapping[str, Any]) -> Iterator[str]:
    of_variables = {parameter_of(variable.name, parameters) for variable in Settings.variables()}
    yield "| parameter | default | meaning |"
    yield "|---|---|---|"
    for name, about in parameters.items():
        if name not in of_variables:
            yield f"| `{name}` | {_code(str(about.get('Default', '')))} | {about.get('Description', '')} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
