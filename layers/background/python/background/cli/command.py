"""The frame of a command: ``--json``, the configuration, and the name of the database before a change."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import click

from background.cli.configuration import configure
from background.cli.console import Console, log_to_stderr
from background.cli.failures import EXIT_CODES, Exit, database

Body = Callable[..., Exit | None]


class Run(NamedTuple):
    """The options of the root command, for the command."""

    console: Console
    env_file: Path | None
    local: bool


def command(group: click.Group, name: str, *, example: str, changes: bool) -> Callable[[Body], click.Command]:
    """Make a command from a function ``(console, **options) -> Exit | None``, whose docstring is the help.

    A command with ``changes`` changes something. It first prints the name of its database to stderr.
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


def take_json_anywhere(group: click.Group) -> None:
    """Accept ``--json`` before the command's name, too."""
    group.params.append(_json_option())
    for each in group.commands.values():
        if isinstance(each, click.Group):
            take_json_anywhere(each)


def _json_option() -> click.Option:
    def choose(context: click.Context, _parameter: click.Parameter, chosen: bool) -> None:
        if chosen:
            # `obj` is the console until the root command has read its own options.
            console = context.obj.console if isinstance(context.obj, Run) else context.obj
            console.as_json = True

    return click.Option(
        ["--json"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=choose,
        help="Print the result as one JSON object to stdout, and a failure as one JSON object to stderr.",
    )
