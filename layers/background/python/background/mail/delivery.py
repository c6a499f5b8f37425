"""The channel for mails: by SMTP where ``MG_EMAIL_HOST`` is set, else by SES (decisions 4, 28)."""

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
    group = 1  # a mail may take seconds, and a larger group could send mails twice

    def __init__(self) -> None:
        """Choose the sender. Connect to nothing before there is a mail to send."""
        self._sender = _sender()

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Send each mail that is still needed and whose address is not suppressed. Drop any other."""
        for row in rows:
            yield Outcome(row, self._send(row))

    def close(self) -> None:
        """Close the connection to the mail server."""
        self._sender.close()

    def _send(self, row: Row) -> str:
        """Send one mail. Return the reason of a refusal, "" when it was sent or dropped.

        A mail over the limits of its mailbox is dropped and counted, and nobody is notified (S12, S53).
        """
        sender_address()  # checked before the validity of a link begins
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
        from background.mail.smtp import SmtpSender  # import only the sender that is used, because boto3 takes long

        return SmtpSender()
    from background.mail.ses import SesSender

    return SesSender()
