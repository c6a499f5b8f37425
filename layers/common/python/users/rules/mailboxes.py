"""What limits know a mailbox by (S12, S53)."""

from users.rules.secret_key import keyed_digest


def mailbox_digest(address: str) -> str:
    """Return the digest of an address, whatever its letter case, in hexadecimal digits.

    It outlives the account that has the address, so it is an HMAC: who reads the database without
    ``MG_USERS_SECRET_KEY`` cannot try addresses. WrongSettings when that key is missing.
    """
    return keyed_digest("digests of mailboxes", address.lower())
