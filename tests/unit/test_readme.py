"""README.md says what is the case."""

import re
from dataclasses import fields
from pathlib import Path

from users.settings import Settings

README = Path(__file__).parents[2] / "README.md"


def test_configuration_table_is_the_settings() -> None:
    table = re.search(r"<!-- settings -->\n(.*)<!-- /settings -->", README.read_text(), re.DOTALL)
    assert table is not None
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for spec in fields(Settings):
        about = spec.metadata
        default = f"`{about['default']}`" if about["default"] else ""
        rows.append(f"| `{about['name']}` | {default} | {about['about']} |")
    assert table[1].splitlines() == rows
