"""Which language a locale stands for: mails and pages of one account speak the same."""

import re
from collections.abc import Container


def language_of(locale: str, languages: Container[str]) -> str:
    """The language of a locale such as ``de``, ``de-DE`` or ``de_AT.UTF-8``; nothing where ``languages`` has it not."""
    language = re.split(r"[-_.@]", locale, maxsplit=1)[0].lower()
    return language if language in languages else ""
