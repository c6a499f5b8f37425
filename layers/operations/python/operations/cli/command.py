"""The frame of a command: ``--json``, the configuration, and for commands that change something, which database."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from operations.cli.configuration import configure
from operations.cli.console import Console, log_to_stderr
from operations.cli.failures import EXIT_CODES, Exit, database

Body = Callable[..., Exit | None]


class Run(NamedTuple):
    """What the root command leaves for the command."""

    console: Console
    env_file: Path | None
    local: bool


def command(group: click.Group, name: str, *, example: str, changes: bool) -> Callable[[Body], click.Command]:
    """Make a command of a function ``(console, **options) -> Exit | None``; its docstring is its help.

    ``changes``: it changes something, and says first on stderr which database it talks to.
    """

    def decorate(body: Body) -> click.Command:
        @click.pass_obj
        @wraps(body)
        def callback(run: Run, /, **options: Any) -> Exit:
            installation = configure(run.env_file, local=run.local)
            log_to_stderr()
            if changes:
                run.console.note(database() + (f" ({installation})" if installation else ""))
            return body(run.console, **options) or Exit.DONE

        made = group.command(name, epilog=f"\b\nExample:\n  {example}\n\n{EXIT_CODES}")(callback)
        made.params.append(_json_option())
        return made

    return decorate


def _json_option() -> click.Option:
    def choose(context: click.Context, _parameter: click.Parameter, chosen: bool) -> None:
        if chosen:
            context.find_object(Run).console.as_json = True  # type: ignore[union-attr]

    return click.Option(
        ["--json"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=choose,
        help="One JSON object on stdout; a failure is one on stderr.",
    )
