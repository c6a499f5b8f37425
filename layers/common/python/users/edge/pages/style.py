"""The one stylesheet of the pages, in the operator's colour (``MG_USERS_PRODUCT_COLOR``)."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from string import Template

from users.rules.contrast import readable_on
from users.settings import settings

_SHEET = Path(__file__).parent / "page.css"


@cache
def stylesheet(color: str) -> tuple[str, str]:
    """Return the sheet in ``color`` (``#rrggbb``), and its source expression for the Content-Security-Policy."""
    css = Template(_SHEET.read_text(encoding="utf-8")).substitute(color=color, on_color=readable_on(color))
    return css, f"'sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}'"


def current() -> tuple[str, str]:
    """Return the sheet in the configured colour."""
    return stylesheet(settings().product_color)
