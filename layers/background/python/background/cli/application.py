"""The root command and the end of every run: a result, or a message and an exit code."""

import os
import sys
from pathlib import Path

import click

from background.cli import accounts, mail_suppressions, outbox, setup, transfer, user
from background.cli.command import Run, take_json_anywhere
from background.cli.console import Console
from background.cli.failures import EXIT_CODES, FORESEEN, Exit, explain

_EPILOG = f"""\b
Which installation:
  MG_USERS_DB_* set           the one they name (all MG_* variables count: docs/configuration.md)
  --env-file FILE             the one of a file of NAME=value lines; it may not contradict MG_USERS_DB_*
  nothing of both, or --local the one that `make run` runs on this machine
Commands that change something say on stderr which database they talk to.

{EXIT_CODES}"""


@click.group(epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read the MG_* (and AWS_*) variables from a file; variables that are set win.",
)
@click.option("--local", is_flag=True, help="Work on the system that `make run` runs on this machine.")
@click.pass_context
def cli(context: click.Context, env_file: Path | None, *, local: bool) -> None:
    """Run a Users installation: set it up, look after its outbox and accounts, move users in and out."""
    context.obj = Run(context.obj, env_file, local)


setup.add_to(cli)
outbox.add_to(cli)
mail_suppressions.add_to(cli)
accounts.add_to(user.add_to(cli))
transfer.add_to(cli)
take_json_anywhere(cli)


def run() -> int:
    """Run the command of ``sys.argv``; its exit code. Raises only what nobody has foreseen."""
    console = Console()
    for stream in (sys.stdout, sys.stderr):  # a terminal of another encoding
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        done = cli.main(prog_name="python -m users", standalone_mode=False, obj=console)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read stdout has seen enough
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
