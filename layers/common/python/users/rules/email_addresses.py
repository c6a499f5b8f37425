"""The one spelling of an e-mail address (decisions 33; S54).

Several spellings of a domain name are one domain: ``EXAMPLE.org``, ``ｅxample.org`` and ``example。org`` all receive
the mails of ``example.org``. The service therefore stores one of them, so that one mailbox has one account. The local
part keeps its letter case: it is compared without regard to case by the database (decisions 19).
"""

import unicodedata

from users.errors import BadRequest
from users.rules.fields import COLUMN_CHARACTERS, check_email, invalid_email


def canonical_email(typed: str) -> str:
    """Return the address with its local part in NFC, and its domain in lower case and as A-labels (``xn--…``).

    BadRequest for what is not one bare address (``check_email``), and for a domain that UTS 46 does not allow.
    """
    check_email(typed)
    local, _, domain = typed.rpartition("@")
    address = f"{unicodedata.normalize('NFC', local)}@{_canonical_domain(domain)}"
    check_email(address)  # the mapping may have made a `;` of another character, or a longer text
    return address


def canonical_or_typed(identity: str) -> str:
    """Return what a lookup looks for: the canonical address, or ``identity`` as it is where it is no address."""
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
