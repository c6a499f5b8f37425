"""The one spelling of an e-mail address (decisions 33, S54).

Several spellings of a domain name are one domain: ``EXAMPLE.org``, ``ｅxample.org`` and ``example。org`` all receive
the mails of ``example.org``. The service therefore stores one spelling, so that one mailbox has one account. The local
part keeps its letter case, because the database compares it without regard to case (decisions 19).
"""

import unicodedata

from users.errors import BadRequest
from users.rules.fields import COLUMN_CHARACTERS, check_email, invalid_email


def canonical_email(typed: str) -> str:
    """Return the address with its local part in NFC, and its domain in lower case and as A-labels (``xn--…``).

    BadRequest unless the text is one bare address (``check_email``) whose domain UTS 46 allows.
    """
    check_email(typed)
    local, _, domain = typed.rpartition("@")
    address = f"{unicodedata.normalize('NFC', local)}@{_canonical_domain(domain)}"
    check_email(address)  # the mapping may turn another character into `;`, or lengthen the text
    return address


def canonical_or_typed(identity: str) -> str:
    """Return the canonical address to look up, or ``identity`` unchanged when it is no address."""
    if "@" not in identity or len(identity) > COLUMN_CHARACTERS:
        return identity
    try:
        return canonical_email(identity)
    except BadRequest:
        return identity


def _canonical_domain(domain: str) -> str:
    if domain.isascii():
        return domain.lower()
    import idna  # takes 10 ms to import, and few domains need it

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except UnicodeError as error:
        raise invalid_email() from error
