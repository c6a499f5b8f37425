"""Writes openapi.json from openapi.yaml, for the function `openapi`.

People edit the YAML. The JSON is committed, because a function has no YAML parser. A test fails if it is out of date.
"""

import json
import re
from pathlib import Path

import yaml

from users.release import VERSION

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "openapi.yaml"
TARGET = ROOT / "functions" / "openapi" / "openapi.json"


def as_json(source: Path = SOURCE) -> str:
    """Return the document as one line of JSON."""
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def write() -> None:
    """Write the version of the code into the document, and the document into the function's file."""
    text = SOURCE.read_text(encoding="utf-8")
    SOURCE.write_text(
        re.sub(r"^  version: .*$", f"  version: {VERSION}", text, count=1, flags=re.MULTILINE), encoding="utf-8"
    )
    TARGET.write_text(as_json(), encoding="utf-8")
