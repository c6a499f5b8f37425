"""``bootstrap``, ``sweep`` and ``conflicts``: the commands that an installation needs once or daily."""

from dataclasses import asdict

import click
import psycopg

from background.cli.command import command
from background.cli.console import Console, table
from background.cli.failures import Exit, Refused
from users.errors import Unavailable
from users.models import Role, Status, rfc3339
from users.settings import WrongSettings

_SHOWN_DUE = 1000


def add_to(cli: click.Group) -> None:
    """Add the three commands."""

    @command(cli, "bootstrap", example="python -m users --env-file production.env bootstrap", changes=True)
    def bootstrap(console: Console) -> None:
        """Migrate the database and make the first administrator.

        The command does the same as the stack's bootstrap function. It migrates forward only. You can repeat it at any
        time. After an interrupted run it continues the work. Two runs at the same time wait for each other.
        """
        from background.setup.bootstrap import BootstrapFailed
        from background.setup.bootstrap import bootstrap as set_up

        try:
            done = set_up()
        except BootstrapFailed as error:
            raise Refused(str(error), _exit_code(error.__cause__)) from error
        console.result(done, "\n".join(f"{name}: {value}" for name, value in done.items()))

    @command(cli, "sweep", example="python -m users sweep --dry-run", changes=True)
    @click.option("--dry-run", is_flag=True, help="List the accounts that are due, and remove none.")
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    def sweep(console: Console, *, dry_run: bool, yes: bool) -> Exit | None:
        """Remove accounts after their grace period.

        The command removes accounts that were deleted or disabled for longer than MG_USERS_DELETE_AFTER, with all their
        data. It removes self-registered accounts that nobody verified within MG_USERS_UNVERIFIED_AFTER, after a
        reminder, unless MG_ALLOW_UNVERIFIED_USER is true. The scheduled function does the same. After an interrupted
        run, the next run completes every removal that had begun.
        """
        if not dry_run:
            return _sweep(console, yes=yes)
        _show_due(console)
        return None

    @command(cli, "conflicts", example="python -m users conflicts --json", changes=False)
    def conflicts(console: Console) -> None:
        """List accounts whose names differ only in letter case.

        A name is an e-mail address or a username. A takeover does not change such accounts. The oldest enabled account
        keeps the name in every spelling. The others can log in only with their exact spelling. To end a conflict,
        rename a listed account, or remove the account that keeps the name and run bootstrap.
        """
        from background.setup.case_conflicts import case_conflicts

        found = case_conflicts()
        rows = [
            {**asdict(one), "status": Status(one.status).name.lower(), "created_at": rfc3339(one.created_at)}
            for one in found
        ]
        headers = ("id", "email", "username", "status", "created_at", "kept_by")
        text = table(headers, [[row[name] for name in headers] for row in rows]) if rows else "No conflicts."
        console.result({"conflicts": rows}, text)


def _exit_code(cause: BaseException | None) -> Exit:
    if isinstance(cause, WrongSettings):
        return Exit.USAGE
    is_away = isinstance(cause, Unavailable | psycopg.OperationalError)
    return Exit.UNAVAILABLE if is_away else Exit.FAILED


def _show_due(console: Console) -> None:
    from background.removal.sweep import count_due, due_accounts

    counts, due = count_due(), due_accounts(_SHOWN_DUE)
    rows = [asdict(one) | {"role": Role(one.role).name.lower(), "since": rfc3339(one.since)} for one in due]
    headers = ("id", "kind", "role", "since")
    shown = table(headers, [[row[name] for name in headers] for row in rows]) + "\n" if rows else ""
    totals = ", ".join(f"{name} {count}" for name, count in counts.items())
    console.result({"counts": counts, "due": rows}, f"{shown}Due: {totals or 0}")


def _sweep(console: Console, *, yes: bool) -> Exit | None:
    from background.removal.sweep import count_due, sweep

    due = count_due()
    totals = ", ".join(f"{name} {count}" for name, count in due.items())
    # Without due accounts no confirmation is needed. The run still sends warnings, and deletes old records.
    if any(due.values()) and not console.confirm(f"Accounts due: {totals}. Remove them for good?", yes=yes):
        console.note("Nothing was removed.")
        return Exit.FAILED
    counts = sweep(lambda: True)
    console.result({"counts": counts}, ", ".join(f"{name} {count}" for name, count in counts.items()))
    return Exit.FAILED if counts.get("failed") else None
