"""The colour of text on the product's colour, for pages and mails."""


def readable_on(background: str) -> str:
    """Return black or white, the one with more contrast to ``#rrggbb``: at least 4.5 to 1 (WCAG 2.2, 1.4.3)."""
    red, green, blue = (_linear(int(background[at : at + 2], 16) / 255) for at in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    on_white, on_black = 1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05
    return "#ffffff" if on_white >= on_black else "#000000"


def _linear(channel: float) -> float:
    """Remove the gamma from an sRGB channel of 0 to 1 (WCAG's definition of relative luminance)."""
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
