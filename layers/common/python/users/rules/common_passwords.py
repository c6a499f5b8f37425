"""Whether a password is one of the common ones, or a common word with the usual decorations (S60).

Decorations are letter case, accents, letters that digits or signs stand for (``p@ssw0rd``), digits and signs before and
after, the word twice or more, or backwards. The words come from the list of common passwords: what is left of its
entries when the digits and signs around them are taken away.
"""

import re
import unicodedata
from functools import cache
from itertools import pairwise
from pathlib import Path

_LIST = Path(__file__).parent / "common_passwords.txt"
# The ordered documentation registers with it, so that it has to pass (decisions 27).
_DOCUMENTED = "changeMe123"
# What a digit or a sign stands for. The letters i and l are one, because 1, ! and | stand for both.
_LEET = str.maketrans("0134579@$8!|+i", "oleastgasblltl")
_SHORTEST_WORD = 4
# A word with more than this around it may be a good password: eight random digits are worth more than the word is.
_MOST_AROUND = 8
_LONGEST_REPEATED = 32
_LETTER = re.compile(r"[^\W\d_]")
# The list is in lower case and ASCII. An entry's word begins and ends with a letter.
_WORDS = re.compile(rf"^[^a-z\n]*([a-z](?:.{{{_SHORTEST_WORD - 2},}})?[a-z])[^a-z\n]*$", re.MULTILINE)


def is_common(password: str) -> bool:
    """Tell whether a password of at most 1024 bytes is in the list, or is a word of it with decorations.

    It takes less than 1 ms, and about 6 ms more the first time, when the list is read (benchmarks/password_check.py).
    """
    if password == _DOCUMENTED:
        return False
    folded = unicodedata.normalize("NFC", password).casefold()
    plain = folded if folded.isascii() else _without_accents(folded)
    return any(_is_listed(text) or _is_decorated(text) for text in {folded, plain, _once(plain)})


def _is_listed(text: str) -> bool:
    return not _passwords().isdisjoint({text, text.strip(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")})


def _is_decorated(text: str) -> bool:
    """Whether a common word is in it, and around that only digits and signs, not too many."""
    first, after = _letters(text)
    words, longest = _words()
    letters = text.translate(_LEET)
    repeated = _once(letters[first:after])
    if repeated in words or repeated[::-1] in words:
        return _is_little(text[:first], text[after:])
    # Digits and signs at the edge may stand for letters too ($ummer), so every place where the word may begin and end.
    for start in range(max(0, after - longest), first + 1):
        for end in range(after, min(len(text), start + longest) + 1):
            word = letters[start:end]
            if (word in words or word[::-1] in words) and _is_little(text[:start], text[end:]):
                return True
    return False


def _letters(text: str) -> tuple[int, int]:
    """Where the first letter is, and where the last one ends; both the end of the text when there is none."""
    first, last = _LETTER.search(text), _LETTER.search(text[::-1])
    return (first.start(), len(text) - last.start()) if first and last else (len(text), len(text))


def _is_little(*around: str) -> bool:
    """Whether decorations are easy to guess. A run such as 1234567 or !!!! is worth its first character."""
    worth = sum(abs(ord(this) - ord(before)) > 1 for text in around for before, this in pairwise("\0" + text))
    return worth <= _MOST_AROUND


def _once(text: str) -> str:
    """What a text repeats from its beginning to its end; the text itself when it repeats nothing."""
    for size in range(_SHORTEST_WORD, min(_LONGEST_REPEATED, len(text) // 2) + 1):
        if len(text) % size == 0 and text == text[:size] * (len(text) // size):
            return text[:size]
    return text


def _without_accents(text: str) -> str:
    """Plain letters for accented and for full-width ones."""
    parts = unicodedata.normalize("NFKD", text)
    return "".join(character for character in parts if not unicodedata.combining(character))


@cache
def _passwords() -> frozenset[str]:
    return frozenset(_LIST.read_text(encoding="utf-8").split())


@cache
def _words() -> tuple[frozenset[str], int]:
    """The words of the list, as ``_LEET`` writes them, and the length of the longest."""
    found = _WORDS.findall(_LIST.read_text(encoding="utf-8"))
    words = frozenset("\n".join(found).translate(_LEET).split())
    return words, max(map(len, words))
