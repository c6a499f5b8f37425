"""A test for common passwords, and for common words with the usual decorations (S60).

Decorations are letter case, accents, digits or signs in place of letters (``p@ssw0rd``), digits and signs before and
after the word, the word twice or more, or backwards. The words are the entries of the list of common passwords without
the digits and signs around them.
"""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path

_LIST = Path(__file__).parent / "common_passwords.txt"
# Upstream's documentation registers with this password, so it has to pass (decisions 27).
_DOCUMENTED = "changeMe123"
# The letter that a digit or a sign replaces. The letters i and l are one, because 1, ! and | replace both.
_LEET = str.maketrans("0134579@$8!|+i", "oleastgasblltl")
_SHORTEST_WORD = 4
# A word with more than this around it may be a good password: eight random digits are worth more than the word.
_MOST_AROUND = 8
_LONGEST_REPEATED = 32
_LETTER = re.compile(r"[^\W\d_]")
# The list is lower-case ASCII. An entry's word begins and ends with a letter.
_WORDS = re.compile(rf"^[^a-z\n]*([a-z](?:.{{{_SHORTEST_WORD - 2},}})?[a-z])[^a-z\n]*$", re.MULTILINE)


def is_common(password: str) -> bool:
    """Return whether a password of at most 1024 bytes is in the list, or is a decorated word of the list.

    A call takes less than 1 ms. The first call also reads the list in about 6 ms (benchmarks/password_check.py).
    """
    if password == _DOCUMENTED:
        return False
    folded = unicodedata.normalize("NFC", password).casefold()
    plain = folded if folded.isascii() else _without_accents(folded)
    return any(_is_listed(text) or _is_decorated(text) for text in {folded, plain, _once(plain)})


def _is_listed(text: str) -> bool:
    return not _passwords().isdisjoint({text, text.strip(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")})


def _is_decorated(text: str) -> bool:
    """Return whether the text is a common word with only few digits and signs around it."""
    first, after = _letters(text)
    words, longest = _words()
    letters = text.translate(_LEET)
    repeated = _once(letters[first:after])
    if repeated in words or repeated[::-1] in words:
        return _is_little(text[:first], text[after:])
    # Digits and signs at the edge may also replace letters ($ummer), so the word may begin and end anywhere there.
    for start in range(max(0, after - longest), first + 1):
        for end in range(after, min(len(text), start + longest) + 1):
            word = letters[start:end]
            if (word in words or word[::-1] in words) and _is_little(text[:start], text[end:]):
                return True
    return False


def _letters(text: str) -> tuple[int, int]:
    """Return the start of the first letter and the end of the last, both the text's length when there is no letter."""
    first, last = _LETTER.search(text), _LETTER.search(text[::-1])
    return (first.start(), len(text) - last.start()) if first and last else (len(text), len(text))


def _is_little(*around: str) -> bool:
    """Return whether decorations are easy to guess. A run such as 1234567 or !!!! is worth its first character."""
    worth = sum(abs(ord(this) - ord(before)) > 1 for text in around for before, this in pairwise("\0" + text))
    return worth <= _MOST_AROUND


def _once(text: str) -> str:
    """Return the part that the whole text repeats, else the text itself."""
    for size in range(_SHORTEST_WORD, min(_LONGEST_REPEATED, len(text) // 2) + 1):
        if len(text) % size == 0 and text == text[:size] * (len(text) // size):
            return text[:size]
    return text


def _without_accents(text: str) -> str:
    """Replace accented and full-width letters by plain ones."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(character for character in parts if not unicodedata.combining(character))


@cache
def _passwords() -> frozenset[str]:
    return frozenset(_LIST.read_text(encoding="utf-8").split())


@cache
def _words() -> tuple[frozenset[str], int]:
    """Return the words of the list in the spelling of ``_LEET``, and the length of the longest."""
    found = _WORDS.findall(_LIST.read_text(encoding="utf-8"))
    words = frozenset("\n".join(found).translate(_LEET).split())
    return words, max(map(len, words))
