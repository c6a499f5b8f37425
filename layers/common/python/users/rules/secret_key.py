"""``MG_USERS_SECRET_KEY``, and the key that is derived from it for each purpose."""

import hmac

from users.aws.secrets import secret
from users.settings import WrongSettings, settings

_LEAST_LENGTH = 32  # characters


def check_secret_key(key: str | None = None) -> None:
    """Raise WrongSettings when ``key`` is too short. None means the value of ``MG_USERS_SECRET_KEY``."""
    if len(secret(settings().secret_key) if key is None else key) < _LEAST_LENGTH:
        raise WrongSettings(f"MG_USERS_SECRET_KEY: needs at least {_LEAST_LENGTH} characters")


def derived_key(purpose: str) -> bytes:
    """Return the key for ``purpose``, 32 bytes: HMAC-SHA256 of its name. WrongSettings as ``check_secret_key``.

    Keys of two purposes are unrelated, so that a text signed or encrypted for one purpose is of no use to another.
    """
    check_secret_key()
    return hmac.digest(secret(settings().secret_key).encode(), f"key\0{purpose}".encode(), "sha256")


def keyed_digest(purpose: str, text: str) -> str:
    """Return the HMAC-SHA256 of ``text`` by the key for ``purpose``, in hexadecimal digits.

    A reader of the digest who does not have ``MG_USERS_SECRET_KEY`` cannot find the text by trying. WrongSettings as
    ``check_secret_key``.
    """
    return hmac.digest(derived_key(purpose), text.encode(), "sha256").hex()
