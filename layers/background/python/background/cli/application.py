"""The root command. A run ends with a result, or with a message and an exit code."""

import os
import sys
from pathlib import Path

import click

from background.cli import accounts, mail_suppressions, outbox, setup, transfer, user
from background.cli.command import Run, take_json_anywhere
from background.cli.console import Console
from background.cli.failures import EXIT_CODES, FORESEEN, Exit, explain

_EPILOG = f"""\b
The commands work on one installation:
  with MG_USERS_DB_*          the installation that MG_* variables configure (docs/configuration.md)
  with --env-file FILE        the installation that a file of NAME=value lines configures;
                              it must not contradict MG_USERS_DB_*
  with neither, or --local    the system of `make run` on this machine
A command that changes something prints the name of its database to stderr.

{EXIT_CODES}"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the MG_* and AWS_* variables from a file. Variables of the environment take precedence.",
)
@click.option("--local", is_flag=True, help="Work on the system of `make run` on this machine.")
@click.pass_context
def cli(context: click.Context, env_file: Path | None, *, local: bool) -> None:
    """Operate a Users installation: set it up, manage its outbox and accounts, import and export users."""
    context.obj = Run(context.obj, env_file, local)


setup.add_to(cli)
outbox.add_to(cli)
mail_suppressions.add_to(cli)
accounts.add_to(user.add_to(cli))
transfer.add_to(cli)
take_json_anywhere(cli)


def run() -> int:
    """Run the command of ``sys.argv``, and return its exit code. Unforeseen errors pass through."""
    console = Console()
    for stream in (sys.stdout, sys.stderr):  # a terminal may have an encoding without these characters
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        done = cli.main(prog_name="python -m users", standalone_mode=False, obj=console)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of stdout has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except (click.Abort, KeyboardInterrupt):
        console.note("Interrupted.")
        return Exit.INTERRUPTED
    except click.UsageError as error:
        if console.as_json:
            console.failure(explain(error))
        else:
            error.show()
        return Exit.USAGE
    except FORESEEN as error:
        failure = explain(error)
        console.failure(failure)
        return failure.exit_code
    return done if isinstance(done, int) else Exit.DONE
