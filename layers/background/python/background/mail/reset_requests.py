"""The channel that turns a request for a reset mail into the mail, if an enabled account has the address (S4).

An invited owner without a password gets the invitation again, which is valid for longer than a reset (S62).
"""

from collections.abc import Iterator

from background.delivery.ports import DestinationUnavailable, Outcome, Row
from background.repository import mails
from users.rules import outbox_records
from users.rules.email_addresses import canonical_or_typed
from users.rules.mailboxes import mailbox_digest
from users.rules.outbox_records import Record
from users.settings import WrongSettings


class ResetRequestChannel:
    """The database: one statement finds the account, writes its mail and event, and deletes the request."""

    batch = 50
    group = 10

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Write the mails, none for an address that no enabled account has, or that just got such a mail."""
        for row in rows:
            email = row.payload["email"]
            canonical = canonical_or_typed(email)
            try:
                mailbox = mailbox_digest(canonical)
            except WrongSettings as error:
                raise DestinationUnavailable(str(error)) from error
            event = outbox_records.event(
                "user.send_password_reset",
                row.payload["request_id"],
                {"host": "", "email": email, "user": ""},
            )
            either = [Record(channel="mail", name=name, payload={}) for name in ("password_reset", "invitation")]
            mails.answer_reset_request(
                row.seq, typed=email, canonical=canonical, mailbox=mailbox, records=[event, *either]
            )
            yield Outcome(row)

    def close(self) -> None:
        """Do nothing: the connection belongs to the execution environment."""
