"""The language of a locale. Mails and pages of one account use the same language."""

import re
from collections.abc import Container


def language_of(locale: str, languages: Container[str]) -> str:
    """Return the language of a locale such as ``de``, ``de-DE`` or ``de_AT.UTF-8``, "" unless ``languages`` has it."""
    language = re.split(r"[-_.@]", locale, maxsplit=1)[0].lower()
    return language if language in languages else ""
