"""People's names in a form that is safe in a mail. The mail may go to somebody else."""

import re
import unicodedata

LONGEST = 64
_PUNCTUATION = frozenset(" '’‘.,-‐_&·")


def shown_name(typed: str) -> str:
    """Return one line of at most 64 letters, marks, digits and punctuation of names. It may be empty.

    Mail programs turn addresses into links. So ``http://evil.example`` and ``me@evil.example`` lose the characters that
    make them addresses: ``:``, ``/``, ``@``, and dots inside a word. ``J.R.R. Tolkien`` gets spaces.
    """
    # First replace compatibility forms, because mail programs make links with full-width colons and dots, too.
    visible = (char for char in unicodedata.normalize("NFKC", typed) if unicodedata.category(char) != "Cf")
    kept = "".join(char if char in _PUNCTUATION or unicodedata.category(char)[0] in "LMN" else " " for char in visible)
    name = " ".join(re.sub(r"\.(?=[^\s.])", ". ", kept).split())[:LONGEST].rstrip()
    return name if re.search(r"\w", name) else ""
