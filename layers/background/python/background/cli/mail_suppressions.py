"""``mail-suppressions list`` and ``lift``: addresses that get no mails."""

from dataclasses import asdict

import click

from background.cli.command import command
from background.cli.console import Console, table
from background.cli.failures import Exit
from background.mail.suppressions import lift, suppressions
from users.models import rfc3339


def add_to(cli: click.Group) -> None:
    """Add the group."""

    @cli.group("mail-suppressions")
    def mail_suppressions() -> None:
        """Show and lift the suppression of addresses.

        A suppressed address gets no mails, because SES has reported a bounce or a complaint.
        """

    @command(mail_suppressions, "list", example="python -m users mail-suppressions list", changes=False)
    @click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
    def list_addresses(console: Console, *, limit: int) -> None:
        """List the suppressed addresses, the newest first."""
        found = suppressions(limit=limit)
        headers = ["address", "reason", "since", "until", "feedback"]
        cells = [[one.address, one.reason, one.created_at, one.expires_at, one.feedback_id] for one in found]
        times = [{"created_at": rfc3339(one.created_at), "expires_at": rfc3339(one.expires_at)} for one in found]
        document = [asdict(one) | moments for one, moments in zip(found, times, strict=True)]
        console.result({"suppressions": document}, table(headers, cells) if found else "No address is suppressed.")

    @command(mail_suppressions, "lift", example="python -m users mail-suppressions lift ada@example.com", changes=True)
    @click.argument("address")
    def lift_address(console: Console, *, address: str) -> Exit | None:
        """Send mails to ADDRESS again.

        SES has another list. Remove the address from that list, too: `aws sesv2 delete-suppressed-destination
        --email-address ADDRESS`.
        """
        try:
            lifted = lift(address)
        except ValueError as error:
            raise click.UsageError(f"ADDRESS is {error}.") from error
        console.result({"lifted": lifted}, "\n".join(f"{one} gets mails again" for one in lifted) or "Not suppressed.")
        return None if lifted else Exit.FAILED
