"""The digest by which limits recognise a mailbox (S12, S53)."""

from users.rules.secret_key import keyed_digest


def mailbox_digest(address: str) -> str:
    """Return the digest of an address in hexadecimal digits. Letter case does not matter.

    The digest outlives the account. It is an HMAC, so that a reader of the database who does not have
    ``MG_USERS_SECRET_KEY`` cannot try addresses. WrongSettings when that key is missing.
    """
    return keyed_digest("digests of mailboxes", address.lower())
