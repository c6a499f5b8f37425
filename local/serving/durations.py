"""Durations in Go's form. `users.settings.go_duration` reads the same texts, and one test compares both."""

import re
from datetime import timedelta

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)"
_DURATION = re.compile(rf"[+-]?(?:{_PART})+")
_LONGEST = 2**63 / 1e9  # seconds: Go counts nanoseconds in a signed 64-bit number


def parse_duration(text: str) -> timedelta:
    """Return the duration of `1h30m`, `500ms`, `-1s` or `0`. Raise ValueError for any other text."""
    if text in {"0", "+0", "-0"}:
        return timedelta()
    if not _DURATION.fullmatch(text):
        raise ValueError("must be a duration such as 1h30m, 90s or 500ms")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))
    if seconds >= _LONGEST:
        raise ValueError("is too long for a duration")
    return timedelta(seconds=-seconds if text.startswith("-") else seconds)
