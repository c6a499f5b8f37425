"""Draws docs/stack.svg from docs/stack.dot, by Graphviz from the npm set `diagram`."""

import subprocess
from pathlib import Path

from local.install import DIAGRAM, node_of

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "docs" / "stack.dot"
TARGET = ROOT / "docs" / "stack.svg"


def as_svg(source: Path = SOURCE) -> str:
    """Return the picture. Raise FileNotFoundError without Graphviz, CalledProcessError for a wrong source."""
    node = node_of(DIAGRAM)
    if node is None:
        raise FileNotFoundError("Graphviz is missing: python3 local/install.py install diagram")
    command = [node, str(DIAGRAM / "draw.mjs")]
    drawn = subprocess.run(command, input=source.read_bytes(), stdout=subprocess.PIPE, timeout=60, check=True)
    return drawn.stdout.decode()


def write() -> None:
    """Update the picture."""
    TARGET.write_text(as_svg(), encoding="utf-8")
