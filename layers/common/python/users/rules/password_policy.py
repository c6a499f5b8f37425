"""The rules for new passwords as data, for forms, password managers and messages (decisions 27).

``users.rules.passwords`` applies them. This module needs no cryptography, so that a function that only shows the rules
starts quickly.
"""

import re

from users.settings import settings

MAX_BYTES = 1024
# A shorter name may occur in a password by chance.
TELLING_LENGTH = 4
# Patterns with a certain meaning: a number of characters, each of them anything but a line break.
_LENGTHS = re.compile(r"\^\.\{(\d{1,4}),(\d{0,4})\}\$")


def lengths() -> tuple[int, int]:
    """Return the least and the largest number of characters that ``MG_USERS_PASS_REGEX`` requires.

    Each is 0 where there is no such limit, and where the pattern requires more than a length. RE2 cannot compute the
    lengths that a pattern matches.
    """
    found = _LENGTHS.fullmatch(settings().pass_regex)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def password_rules() -> str:
    """Return the attribute ``passwordrules`` of a form's field, by which password managers generate a password.

    The format is Apple's (Password AutoFill). The attribute is empty where the pattern requires more than a length,
    because generated passwords might then not match.
    """
    least, most = lengths()
    if not least:
        return ""
    return f"minlength: {least}; maxlength: {min(most or MAX_BYTES, MAX_BYTES)}; allowed: ascii-printable;"


def broken_pattern(password: str) -> str:
    """Return the message for a password that does not match ``MG_USERS_PASS_REGEX``."""
    least, most = lengths()
    if len(password) < least:
        return f"password must have at least {least} characters"
    if most and len(password) > most:
        return f"password must have at most {most} characters"
    return f"password must match the pattern {settings().pass_regex}"
