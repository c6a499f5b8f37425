"""Output for a person or, with ``--json``, for a program. Results go to stdout, everything else to stderr."""

import json
import logging
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from background.cli.failures import Failure

_UNSAFE = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


class Console:
    """The output of one run. With ``as_json`` a result or a failure is one JSON object."""

    as_json = False

    def result(self, document: dict[str, Any], text: str) -> None:
        """Write the result of a command: ``document`` for a program, ``text`` for a person."""
        click.echo(json.dumps(document, ensure_ascii=False) if self.as_json else text)

    def note(self, text: str) -> None:
        """Write a remark for the person."""
        click.echo(text, err=True)

    def failure(self, failure: Failure) -> None:
        """Write the reason why the command fails."""
        if self.as_json:
            document = {"error": failure.error, "message": failure.message, "exit_code": int(failure.exit_code)}
            click.echo(json.dumps(document, ensure_ascii=False), err=True)
        else:
            click.echo(f"{click.style('Error:', fg='red')} {failure.message}", err=True)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Return whether to go on: after ``--yes``, or if a person confirms. UsageError if no person can answer."""
        if yes:
            return True
        if not sys.stdin.isatty() or self.as_json:
            raise click.UsageError(f"{question} Nobody can answer here: confirm with --yes.")
        return click.confirm(question, err=True)


def log_to_stderr() -> None:
    """Write the service's warnings as plain lines to stderr, so that stdout contains only the result."""
    from users.telemetry.log import logger  # Powertools takes long to import

    handler = logger.registered_handler
    if isinstance(handler, logging.StreamHandler):
        handler.setStream(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger.setLevel("WARNING")


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table whose columns are as wide as their widest value. Control characters are escaped."""
    lines = [list(headers), *([printable(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([click.style(padded[0], bold=True), *padded[1:]])


def printable(value: object) -> str:
    """Return a value as one line of text: a time to the second, None and "" as a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        moment = value.astimezone(UTC) if value.tzinfo else value
        return f"{moment:%Y-%m-%d %H:%M:%S}"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else str(value)
    return text.translate(_UNSAFE)


def age(seconds: float) -> str:
    """Return a duration in its largest unit: ``90s``, ``12m``, ``5h``, ``3d``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
