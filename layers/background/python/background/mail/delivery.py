"""Sending the outbox's mails: by SMTP where ``MG_EMAIL_HOST`` is set, else by SES (decisions 4, 28)."""

from collections.abc import Iterator

from background.delivery.ports import DestinationUnavailable, Outcome, Row
from background.mail.letter import Sender, sender_address
from background.mail.limits import count_mail
from background.mail.preparation import MalformedRow, Suppressed, end_older_links, forget_token, prepare
from users.settings import WrongSettings, settings
from users.telemetry.metrics import count


class MailChannel:
    """The mail server, or SES."""

    batch = 50
    group = 1  # a mail server may take seconds for each, and nobody likes to get one twice

    def __init__(self) -> None:
        """Choose the way; nothing is connected before there is a mail to send."""
        self._sender = _sender()

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Send each mail that still makes sense, to an address that gets mails; any other is done with."""
        for row in rows:
            yield Outcome(row, self._send(row))

    def close(self) -> None:
        """Say goodbye to the mail server."""
        self._sender.close()

    def _send(self, row: Row) -> str:
        """Why the mail is refused; empty when it was sent, or is not to be sent.

        Over the limits of its mailbox it is left out and counted: nobody who asked for it is told (S12, S53).
        """
        sender_address()  # before the time of a link begins
        try:
            letter = prepare(row)
            is_limited = letter is not None and not count_mail(row, letter.address)
        except WrongSettings as error:
            raise DestinationUnavailable(str(error)) from error
        except Suppressed:
            count("MailsSuppressed")
            return ""
        except MalformedRow as error:
            count("MailsFailed")
            return str(error)
        if letter is None:
            return ""
        if is_limited:
            count("MailsLimited")
            forget_token(row)
            return ""
        try:
            refusal = self._sender.send(letter)
        except DestinationUnavailable:
            count("MailsFailed")
            forget_token(row)
            raise
        count("MailsFailed" if refusal else "MailsSent")
        if refusal:
            forget_token(row)
        else:
            end_older_links(row)
        return refusal


def _sender() -> Sender:
    if settings().email_host:
        from background.mail.smtp import SmtpSender  # each way's client only when needed: boto3 takes long to import

        return SmtpSender()
    from background.mail.ses import SesSender

    return SesSender()
