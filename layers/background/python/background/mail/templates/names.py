"""What people call themselves, made fit to be printed in a mail that somebody else may get."""

import re
import unicodedata

LONGEST = 64
_PUNCTUATION = frozenset(" '’‘.,-‐_&·")


def shown_name(typed: str) -> str:
    """At most 64 letters, marks, digits and the punctuation of names, in one line; empty when nothing is left.

    A mail program makes links of what looks like an address, so ``http://evil.example`` and ``me@evil.example`` lose
    what they are recognised by: ``:``, ``/``, ``@``, and dots inside a word (``J.R.R. Tolkien`` gets spaces).
    """
    # Compatibility forms first: a full-width colon or dot is as good as a plain one for making links.
    visible = (char for char in unicodedata.normalize("NFKC", typed) if unicodedata.category(char) != "Cf")
    kept = "".join(char if char in _PUNCTUATION or unicodedata.category(char)[0] in "LMN" else " " for char in visible)
    name = " ".join(re.sub(r"\.(?=[^\s.])", ". ", kept).split())[:LONGEST].rstrip()
    return name if re.search(r"\w", name) else ""
