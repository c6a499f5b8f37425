"""``MG_USERS_SECRET_KEY``, and the keys that are derived from it: one for each purpose."""

import hmac

from users.aws.secrets import secret
from users.settings import WrongSettings, settings

_LEAST_LENGTH = 32  # characters


def check_secret_key(key: str | None = None) -> None:
    """Raise WrongSettings when ``MG_USERS_SECRET_KEY`` is missing or short; ``key`` is its value, None for its own."""
    if len(secret(settings().secret_key) if key is None else key) < _LEAST_LENGTH:
        raise WrongSettings(f"MG_USERS_SECRET_KEY: needs at least {_LEAST_LENGTH} characters")


def derived_key(purpose: str) -> bytes:
    """Return the 32 bytes of key for ``purpose``: HMAC-SHA256 of its name. WrongSettings as ``check_secret_key``.

    Two purposes have unrelated keys, so that what one signs or encrypts is of no use to another.
    """
    check_secret_key()
    return hmac.digest(secret(settings().secret_key).encode(), f"key\0{purpose}".encode(), "sha256")


def keyed_digest(purpose: str, text: str) -> str:
    """Return the HMAC-SHA256 of ``text`` by the key for ``purpose``, in hexadecimal digits. WrongSettings as above.

    Without ``MG_USERS_SECRET_KEY`` nobody who reads the digest can find the text by trying.
    """
    return hmac.digest(derived_key(purpose), text.encode(), "sha256").hex()
