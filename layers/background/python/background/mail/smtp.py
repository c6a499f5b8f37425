"""The sender of mails by SMTP to ``MG_EMAIL_HOST`` (contract §4.2, §8.3)."""

import re
import smtplib
import ssl
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from background.delivery.ports import DestinationUnavailable
from background.mail.letter import Letter, sender_address
from users.aws.secrets import secret
from users.errors import Unavailable
from users.settings import Settings, settings

_IMPLICIT_TLS_PORT = 465
_TIMEOUT = 10.0  # seconds, for the connection and for each answer
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class SmtpSender:
    """A mail server. The first mail opens a connection, which the next mails use."""

    def __init__(self) -> None:
        self._connection: smtplib.SMTP | None = None

    def send(self, letter: Letter) -> str:
        """Send. Return the code of a refusal, else "". DestinationUnavailable when the server accepts no mail.

        A temporary refusal (4xx) of the receiver or the message is about this mail as well. The relay tries it again
        later, so that a full mailbox does not block other mails. A refusal is about the server if it concerns the
        server itself (421, or class 4.3 of RFC 3463), the connection, the login or the sender.
        """
        try:
            self._connected().send_message(_message(letter), sender_address(), [letter.address])
        except smtplib.SMTPRecipientsRefused as error:
            return self._refusal(*error.recipients[letter.address], error)
        except smtplib.SMTPDataError as error:
            return self._refusal(error.smtp_code, error.smtp_error, error)
        except smtplib.SMTPNotSupportedError:
            return "SMTPUTF8 is not offered"
        except Unavailable as error:  # Secrets Manager, which stores the password
            raise DestinationUnavailable(error.dependency) from error
        except (OSError, UnicodeError) as error:  # of smtplib, ssl or the socket, or a password that is not ASCII
            self.close()
            raise DestinationUnavailable(_cause(error)) from error
        return ""

    def close(self) -> None:
        """Send QUIT if the server still listens, and close the connection."""
        if self._connection is not None:
            try:
                self._connection.quit()
            except OSError:
                self._connection.close()
            self._connection = None

    def _connected(self) -> smtplib.SMTP:
        if self._connection is not None and not _is_alive(self._connection):
            self._connection.close()
            self._connection = None
        if self._connection is None:
            self._connection = _connect(settings())
        return self._connection

    def _refusal(self, code: int, answer: bytes | str, error: Exception) -> str:
        # Only the numbers, because the text contains the address, and no log may contain that.
        text = answer.decode(errors="replace") if isinstance(answer, bytes) else answer
        status = re.match(r"[45]\.\d{1,3}\.\d{1,3}\b", text)
        reason = f"{code} {status[0]}" if status else str(code)
        if code == 421 or (status and status[0].startswith("4.3.")):
            self.close()
            raise DestinationUnavailable(reason) from error
        return reason


def _connect(s: Settings) -> smtplib.SMTP:
    """Connect and log in. TLS begins at once on port 465, elsewhere when the server offers STARTTLS."""
    context = ssl.create_default_context()  # verifies, by SSL_CERT_FILE where it is set
    # smtplib would look up its host name in DNS. The name of a Lambda function means nothing to a mail server.
    me = _parts(sender_address())[1]
    encrypted = s.email_port == _IMPLICIT_TLS_PORT
    connection: smtplib.SMTP
    if encrypted:
        connection = smtplib.SMTP_SSL(s.email_host, s.email_port, me, timeout=_TIMEOUT, context=context)
    else:
        connection = smtplib.SMTP(s.email_host, s.email_port, me, timeout=_TIMEOUT)
    try:
        connection.ehlo_or_helo_if_needed()
        if not encrypted and connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo_or_helo_if_needed()
            encrypted = True
        password = secret(settings().email_password)
        if s.email_username and password and connection.has_extn("auth"):
            _log_in(connection, s, password, encrypted=encrypted)
    except BaseException:
        connection.close()
        raise
    return connection


def _log_in(connection: smtplib.SMTP, s: Settings, password: str, *, encrypted: bool) -> None:
    """Log in, but never send the password over a network without TLS. Upstream's client does not either."""
    if not encrypted and s.email_host not in _LOOPBACK:
        raise smtplib.SMTPException("no TLS")
    connection.login(s.email_username, password)


def _is_alive(connection: smtplib.SMTP) -> bool:
    """Return whether the server still listens. It may end a connection after some mails or seconds."""
    try:
        return connection.noop()[0] == 250
    except OSError:
        return False


def _message(letter: Letter) -> EmailMessage:
    sender = _parts(sender_address())
    message = EmailMessage(policy=SMTP)
    message["From"] = Address(settings().email_from_name, *sender)
    message["To"] = Address("", *_parts(letter.address))
    message["Subject"] = letter.mail.subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = f"<{letter.id}@{sender[1]}>"
    message["Auto-Submitted"] = "auto-generated"  # no out-of-office answers (RFC 3834)
    message.set_content(letter.mail.text, cte="quoted-printable")
    message.add_alternative(letter.mail.html, subtype="html", cte="quoted-printable")
    message["Content-Language"] = letter.mail.language  # last, because new content removes earlier Content- headers
    return message


def _parts(address: str) -> tuple[str, str]:
    local, _, domain = address.rpartition("@")
    return local, domain


def _cause(error: Exception) -> str:
    """Return the text to log. Never use the server's text, which may contain an address."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{type(error).__name__} {error.smtp_code}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return type(error).__name__
