"""The one stylesheet of the pages, in the operator's colour (``MG_USERS_PRODUCT_COLOR``)."""

import base64
import hashlib
from functools import cache
from pathlib import Path
from string import Template

from users.settings import settings

_SHEET = Path(__file__).parent / "page.css"


@cache
def stylesheet(color: str) -> tuple[str, str]:
    """The sheet with ``color`` (``#rrggbb``) put in, and its source expression for the Content-Security-Policy."""
    css = Template(_SHEET.read_text(encoding="utf-8")).substitute(color=color, on_color=readable_on(color))
    return css, f"'sha256-{base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()}'"


def current() -> tuple[str, str]:
    """The sheet as it is configured."""
    return stylesheet(settings().product_color)


def readable_on(background: str) -> str:
    """Black or white, whichever contrasts more with ``#rrggbb``: at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    red, green, blue = (_linear(int(background[at : at + 2], 16) / 255) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    on_white, on_black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return "#ffffff" if on_white >= on_black else "#000000"


def _linear(channel: float) -> float:
    """An sRGB channel, 0 to 1, without its gamma (WCAG's definition of relative luminance)."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
