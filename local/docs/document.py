"""openapi.yaml, which people write and read, and its form as JSON, which the function `openapi` serves.

The JSON is committed, because a function has no YAML parser; a test tells when it is out of date.
"""

import json
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "openapi.yaml"
TARGET = ROOT / "functions" / "openapi" / "openapi.json"


def as_json(source: Path = SOURCE) -> str:
    """Return the document as JSON on one line, ended by a newline."""
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def write() -> None:
    """Bring the function's file up to date."""
    TARGET.write_text(as_json(), encoding="utf-8")
