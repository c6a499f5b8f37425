"""``outbox list``, ``retry`` and ``skip``: undelivered events, mails and relations."""

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
        """List, retry and skip events, mails and relations that are not delivered yet."""

    @command(outbox, "list", example="python -m users outbox list --parked --channel mail", changes=False)
    @click.option("--channel", type=_CHANNELS, help="Only rows of this channel.")
    @click.option("--parked", is_flag=True, help="Only parked rows.")
    @click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
    @click.option("--payload", is_flag=True, help="Show the content of the rows, with names and addresses of people.")
    def list_rows(console: Console, *, channel: str | None, parked: bool, limit: int, payload: bool) -> None:
        """List the undelivered rows, the oldest first, and their totals.

        The relay parks a row that was refused too often. A parked row holds back all later rows of its account and
        channel, until you retry or skip it.
        """
        _list(console, undelivered_rows.undelivered(channel=channel, only_parked=parked, limit=limit), payload=payload)

    @command(outbox, "retry", example="python -m users outbox retry --all-parked --channel mail", changes=True)
    @click.argument("ids", nargs=-1, type=click.UUID)
    @click.option("--all-parked", is_flag=True, help="All parked rows.")
    @click.option("--channel", type=_CHANNELS, help="With --all-parked: only rows of this channel.")
    def retry(console: Console, *, ids: Sequence[object], all_parked: bool, channel: str | None) -> Exit | None:
        """Deliver refused rows again, and count their tries from zero.

        First remove the cause of their last error. The relay tries the rows within a minute.
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
    @click.option("--all-parked", is_flag=True, help="All parked rows.")
    @click.option("--channel", type=_CHANNELS, help="With --all-parked: only rows of this channel.")
    @click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
    def skip(
        console: Console, *, ids: Sequence[object], all_parked: bool, channel: str | None, yes: bool
    ) -> Exit | None:
        """Delete parked rows. Their events, mails and relations are never delivered.

        Later rows of the same account and channel, which waited behind them, are delivered next.
        """
        return _skip(console, _chosen(ids, all_parked=all_parked, channel=channel), channel, yes=yes)


def _chosen(ids: Sequence[object], *, all_parked: bool, channel: str | None) -> list[str] | None:
    """Return the ids, or None for all parked rows. UsageError if the options name neither or both."""
    if bool(ids) == all_parked:
        raise click.UsageError("name rows by their ids, or use --all-parked.")
    if ids and channel:
        raise click.UsageError("--channel needs --all-parked.")
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
    if count and not console.confirm(f"Delete {count} parked rows? Their contents are lost.", yes=yes):
        console.note("Nothing was deleted.")
        return Exit.FAILED
    skipped = undelivered_rows.skip(ids=ids, channel=channel) if count else []
    _wake()
    missing = sorted(set(ids or ()) - {one.id for one in skipped})
    lines = [f"{one.id}: skipped {one.channel} {one.name}, released {one.freed} waiting rows" for one in skipped]
    lines += [f"{one}: no parked row has this id" for one in missing]
    document = {"skipped": [asdict(one) for one in skipped], "missing": missing}
    console.result(document, "\n".join(lines) or "No row is parked.")
    return Exit.FAILED if missing else None


def _wake() -> None:
    from background.accounts.administration import wake_where_possible

    wake_where_possible()
