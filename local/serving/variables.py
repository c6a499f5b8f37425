"""Environment variables, read as typed values."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import TypeVar

from local.serving.durations import parse_duration

_LAST_PORT = 65535
# The values of MG_USERS_LOG_LEVEL, and Python's names of these levels.
_LOG_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}
_SWITCH = {"0": False, "false": False, "1": True, "true": True}

Value = TypeVar("Value")


class SettingsUnusable(Exception):
    """Variables have values that cannot be used. Each line of the text begins with the name of one variable."""


class Variables:
    """Reads variables one by one. An empty variable counts as unset.

    A value that cannot be used becomes a line in `problems`, and the reader goes on with the default.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Read from `variables`."""
        self._variables = variables
        self.problems: list[str] = []

    def check(self) -> None:
        """Raise SettingsUnusable if there are problems."""
        if self.problems:
            raise SettingsUnusable("\n".join(self.problems))

    def text(self, name: str, default: str = "") -> str:
        """Return a text."""
        return self._variables.get(name) or default

    def parsed(self, name: str, parse: Callable[[str], Value], default: Value) -> Value:
        """Return the result of `parse` for a text. The text of its ValueError is the problem."""
        text = self.text(name)
        try:
            return parse(text) if text else default
        except ValueError as error:
            self.problems.append(f"{name}={text}: {error}")
            return default

    def one_of(self, name: str, words: Iterable[str], default: str) -> str:
        """Return one of `words`."""

        def parse(text: str) -> str:
            if text not in words:
                raise ValueError(f"{', '.join(words)} are its values")
            return text

        return self.parsed(name, parse, default)

    def whole(self, name: str, default: int, *, least: int = 0, most: int) -> int:
        """Return a whole number."""

        def parse(text: str) -> int:
            if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
                raise ValueError(f"must be a whole number from {least} to {most}")
            return int(text)

        return self.parsed(name, parse, default)

    def port(self, name: str, default: int) -> int:
        """Return a port number. 0 stands for a free port."""
        text = self.text(name, str(default))
        if re.fullmatch("[0-9]{1,5}", text) and int(text) <= _LAST_PORT:
            return int(text)
        self.problems.append(f"{name}={text} is not a port number (0 to {_LAST_PORT})")
        return default

    def duration(self, name: str, default: str, bounds: tuple[str, str] | None = None) -> timedelta:
        """Return a Go duration, within `bounds` if there are any."""

        def parse(text: str) -> timedelta:
            found = parse_duration(text)
            if bounds and not parse_duration(bounds[0]) <= found <= parse_duration(bounds[1]):
                raise ValueError(f"must be a duration from {bounds[0]} to {bounds[1]}, such as {default}")
            return found

        return self.parsed(name, parse, parse_duration(default))

    def switch(self, name: str) -> bool:
        """Return whether a variable that is `1` or `0` is on."""
        return _SWITCH[self.one_of(name, _SWITCH, "0")]

    def log_level(self) -> str:
        """Return Python's name of the level in MG_USERS_LOG_LEVEL, the variable of the whole system."""
        return _LOG_LEVELS[self.one_of("MG_USERS_LOG_LEVEL", _LOG_LEVELS, "info")]
