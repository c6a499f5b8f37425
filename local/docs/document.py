"""Writes openapi.json from openapi.yaml, for the function `openapi`.

People edit the YAML. The JSON is committed, because a function has no YAML parser. A test fails if it is out of date.
"""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "openapi.yaml"
TARGET = ROOT / "functions" / "openapi" / "openapi.json"


def as_json(source: Path = SOURCE) -> str:
    """Return the document as one line of JSON."""
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def write() -> None:
    """Update the function's file."""
    TARGET.write_text(as_json(), encoding="utf-8")
