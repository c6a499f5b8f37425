"""The sender of mails by SES, with the credentials and in the region of the function."""

from email.utils import formataddr
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from background.delivery.ports import DestinationUnavailable
from background.mail.letter import Letter, sender_address
from users.settings import settings
from users.snapstart import not_in_snapshots

# Error codes that are about one mail. Every other code is about SES, its limits or the account there.
_REFUSALS = {"MessageRejected", "BadRequestException"}
_TIMEOUTS = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 2})


class SesSender:
    """SES, which adds the Message-ID and the date."""

    def __init__(self) -> None:
        """Take the client. ``AWS_ENDPOINT_URL_SESV2`` may point elsewhere."""
        self._ses = _client()

    def send(self, letter: Letter) -> str:
        """Send. Return SES' code for a refusal, else "". DestinationUnavailable when SES accepts no mail."""
        try:
            self._ses.send_email(**_request(letter))
        except ClientError as error:
            code = str(error.response["Error"]["Code"])
            if code in _REFUSALS:
                return code
            raise DestinationUnavailable(code) from error
        except BotoCoreError as error:
            raise DestinationUnavailable(type(error).__name__) from error
        return ""

    def close(self) -> None:
        """Leave the client's connections open for the next run."""


@cache
def _client() -> Any:
    """Make the client once in an execution environment, because it takes longer than a mail."""
    return boto3.client("sesv2", config=_TIMEOUTS)


@not_in_snapshots
def close() -> None:
    """Close the client's connections, and forget the client."""
    if _client.cache_info().currsize:
        _client().close()
        _client.cache_clear()


def _request(letter: Letter) -> dict[str, Any]:
    """Return the parameters of SES' SendEmail."""
    configuration_set = settings().ses_configuration_set
    return {
        **({"ConfigurationSetName": configuration_set} if configuration_set else {}),
        "FromEmailAddress": formataddr((settings().email_from_name, sender_address())),
        "Destination": {"ToAddresses": [letter.address]},
        "Content": {
            "Simple": {
                "Subject": {"Data": letter.mail.subject, "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": letter.mail.text, "Charset": "UTF-8"},
                    "Html": {"Data": letter.mail.html, "Charset": "UTF-8"},
                },
                # No out-of-office answers (RFC 3834).
                "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}],
            }
        },
    }
