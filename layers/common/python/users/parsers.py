"""Parsers of variables: each turns a text into a value, and raises ValueError with the values that it accepts."""

import re
from collections.abc import Callable

# The values of MG_USERS_LOG_LEVEL, and Python's names of these levels.
LOG_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}

_DURATION_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_DURATION = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_LONGEST = "2562047h"  # 292 years, the longest Go duration
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def go_duration(text: str) -> float:
    """Return the seconds of any Go duration: ``1h30m``, ``720h``, ``0s``, ``0``, ``-1s``."""
    if text in {"0", "+0", "-0"}:
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError("not a Go duration, such as 24h or 30s")
    seconds = sum(float(number) * _DURATION_UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    return -seconds if text.startswith("-") else seconds


def _lasting(least: str, most: str, example: str) -> Callable[[str], float]:
    """Return a parser of the Go durations from ``least`` to ``most``."""
    problem = f"must be a Go duration from {least} to {most}, such as {example}"
    shortest, longest = go_duration(least), go_duration(most)

    def parse(text: str) -> float:
        try:
            seconds = go_duration(text)
        except ValueError:
            raise ValueError(problem) from None
        if not shortest <= seconds <= longest:
            raise ValueError(problem)
        return seconds

    return parse


# Seconds of a period that may be empty.
duration = _lasting("0s", _LONGEST, "24h")
# Seconds between two runs of a task.
interval = _lasting("1ms", _LONGEST, "24h")
# Seconds that another service has to answer. A function itself has 25 s.
deadline = _lasting("1ms", "1m", "1s")


def count(text: str) -> int:
    """Return a whole number from 0 to a million."""
    number = int(text) if re.fullmatch(r"[0-9]{1,7}", text) else -1
    if not 0 <= number <= 1_000_000:
        raise ValueError("must be a whole number from 0 to 1000000")
    return number


def boolean(text: str) -> bool:
    """Return the truth value of a text that Go's ``strconv.ParseBool`` accepts."""
    if text not in _BOOLEANS:
        raise ValueError("must be true or false")
    return _BOOLEANS[text]


def one_of(*allowed: str) -> Callable[[str], str]:
    """Return a parser that accepts the given words only."""

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return parse


def port(text: str) -> int:
    """Return a TCP port."""
    number = int(text) if re.fullmatch(r"[0-9]{1,5}", text) else 0
    if not 0 < number < 65536:
        raise ValueError("must be a port from 1 to 65535")
    return number


def web_address(text: str) -> str:
    """Return an ``http`` or ``https`` URL, or an empty text."""
    if text and not re.fullmatch(r"https?://[^\s/?#]+\S*", text):
        raise ValueError("must be a URL that starts with http:// or https://")
    return text


def secure_address(text: str) -> str:
    """Return an ``https`` URL that is safe in an attribute and in a Content-Security-Policy, or an empty text."""
    if text and not re.fullmatch(r"https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[^\s;,'\"<>\\]*)?", text):
        raise ValueError("must be a URL that starts with https://")
    return text


def mail_address(text: str) -> str:
    """Return ``local@domain``, or an empty text."""
    if text and not re.fullmatch(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+", text):
        raise ValueError("must be an e-mail address, such as help@example.com")
    return text


def share(text: str) -> float:
    """Return a number from 0 to 1."""
    number = float(text) if re.fullmatch(r"[0-9]+\.?[0-9]*|\.[0-9]+", text) else -1.0
    if not 0 <= number <= 1:
        raise ValueError("must be a number from 0 to 1")
    return number


def color(text: str) -> str:
    """Return a colour of six hexadecimal digits."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError("must be a colour such as #0b57a4")
    return text


def username_list(text: str) -> frozenset[str]:
    """Return the usernames of a list with commas, folded by ``folded_username``.

    ``-`` alone is the empty list. Refuse an entry that no username can equal, such as ``root support``, because it
    would reserve nothing.
    """
    names = [name.strip() for name in text.split(",")] if text.strip() not in {"", "-"} else []
    if not all(re.fullmatch("[A-Za-z0-9_-]*[A-Za-z0-9][A-Za-z0-9_-]*", name) for name in names):
        raise ValueError("must be usernames with commas between them, or - for none")
    return frozenset(map(folded_username, names))


def folded_username(username: str) -> str:
    """Return the form in which reserved usernames are compared: lower case, without ``-`` and ``_``."""
    return username.strip().lower().replace("-", "").replace("_", "")
