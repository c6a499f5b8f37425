"""``outbox list``, ``retry`` and ``skip``: what events, mails and relations are still to be delivered."""

from collections.abc import Sequence
from dataclasses import asdict

import click

from background.cli.command import command
from background.cli.console import Console, age, table
from background.cli.failures import Exit
from background.repository import undelivered as undelivered_rows
from users.models import rfc3339

_CHANNELS = click.Choice(["event", "mail", "relation", "reset_request", "revocation"])


def add_to(cli: click.Group) -> None:
    """Add the group."""

    @cli.group()
    def outbox() -> None:
        """Events, mails and relations that are not delivered yet."""

    @command(outbox, "list", example="python -m users outbox list --parked --channel mail", changes=False)
    @click.option("--channel", type=_CHANNELS, help="Rows of one channel only.")
    @click.option("--parked", is_flag=True, help="Only rows that were given up after their last try.")
    @click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
    @click.option("--payload", is_flag=True, help="Show what the rows hold: names and addresses of people.")
    def list_rows(console: Console, *, channel: str | None, parked: bool, limit: int, payload: bool) -> None:
        """Show what is to be delivered, oldest first, and the totals.

        A parked row was refused too often. It holds back the later rows of its own account and channel until it is
        retried or skipped.
        """
        _list(console, undelivered_rows.undelivered(channel=channel, only_parked=parked, limit=limit), payload=payload)

    @command(outbox, "retry", example="python -m users outbox retry --all-parked --channel mail", changes=True)
    @click.argument("ids", nargs=-1, type=click.UUID)
    @click.option("--all-parked", is_flag=True, help="Every parked row.")
    @click.option("--channel", type=_CHANNELS, help="With --all-parked: of one channel only.")
    def retry(console: Console, *, ids: Sequence[object], all_parked: bool, channel: str | None) -> Exit | None:
        """Try refused rows again at once, from the first try.

        Mend first what their last error tells; the relay takes them within a minute.
        """
        chosen = _chosen(ids, all_parked=all_parked, channel=channel)
        retried = undelivered_rows.retry(ids=chosen, channel=channel)
        _wake()
        missing = sorted(set(chosen or ()) - set(retried))
        lines = [f"{len(retried)} due now", *(f"{one}: no refused row has this id" for one in missing)]
        console.result({"retried": retried, "missing": missing}, "\n".join(lines))
        return Exit.FAILED if missing else None

    @command(outbox, "skip", example="python -m users outbox skip 3f2b7c1e-5a59-4c8b-9a51-0b8a4f3c2d11", changes=True)
    @click.argument("ids", nargs=-1, type=click.UUID)
    @click.option("--all-parked", is_flag=True, help="Every parked row.")
    @click.option("--channel", type=_CHANNELS, help="With --all-parked: of one channel only.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    def skip(
        console: Console, *, ids: Sequence[object], all_parked: bool, channel: str | None, yes: bool
    ) -> Exit | None:
        """Delete parked rows: what they tell is never delivered.

        Rows of the same account and channel that waited behind them go out next.
        """
        return _skip(console, _chosen(ids, all_parked=all_parked, channel=channel), channel, yes=yes)


def _chosen(ids: Sequence[object], *, all_parked: bool, channel: str | None) -> list[str] | None:
    """The ids that are meant, None for all; UsageError for neither or both."""
    if bool(ids) == all_parked:
        raise click.UsageError("name rows by their ids, or give --all-parked.")
    if ids and channel:
        raise click.UsageError("--channel goes with --all-parked.")
    return [str(one) for one in ids] or None


def _list(console: Console, rows: list[undelivered_rows.OutboxRow], *, payload: bool) -> None:

    state = undelivered_rows.outbox_state()
    shown = []
    for row in rows:
        document = asdict(row) | {"age": round(row.age), "next_attempt_at": rfc3339(row.next_attempt_at)}
        document["parked_at"] = rfc3339(row.parked_at) if row.parked_at else None
        if not payload:
            del document["payload"]
        shown.append(document)
    headers = [
        "id",
        "channel",
        "name",
        "user",
        "age",
        "tries",
        "state",
        "last error",
        *(["payload"] if payload else []),
    ]
    cells = [
        [
            *(row.id, row.channel, row.name, row.user_id, age(row.age), row.attempts),
            *("parked" if row.parked_at else "waits", row.last_error),
            *([row.payload] if payload else []),
        ]
        for row in rows
    ]
    totals = f"{state.outstanding} waiting, the oldest for {age(state.oldest_age)}; {state.parked} parked"
    text = f"{table(headers, cells)}\n{totals}" if rows else totals
    console.result({"rows": shown, "waiting": state.outstanding, "parked": state.parked}, text)


def _skip(console: Console, ids: list[str] | None, channel: str | None, *, yes: bool) -> Exit | None:
    count = undelivered_rows.count_parked(ids=ids, channel=channel)
    if count and not console.confirm(f"{count} parked rows: what they tell is lost. Delete them?", yes=yes):
        console.note("Nothing was deleted.")
        return Exit.FAILED
    skipped = undelivered_rows.skip(ids=ids, channel=channel) if count else []
    _wake()
    missing = sorted(set(ids or ()) - {one.id for one in skipped})
    lines = [f"{one.id}: skipped {one.channel} {one.name}; {one.freed} rows go free" for one in skipped]
    lines += [f"{one}: no parked row has this id" for one in missing]
    document = {"skipped": [asdict(one) for one in skipped], "missing": missing}
    console.result(document, "\n".join(lines) or "Nothing is parked.")
    return Exit.FAILED if missing else None


def _wake() -> None:
    from background.accounts.administration import wake_where_possible

    wake_where_possible()
