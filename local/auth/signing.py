"""Keys that sign tokens: a shared secret (HS256, HS384, HS512), or Ed25519 key files (EdDSA) and their JWKS form.

See contract §5.5 and contract §5.6.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nacl.exceptions import BadSignatureError

from local.auth.key_files import create_key_file, read_key_file
from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nacl.signing import SigningKey

    from local.auth.settings import Settings

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HMAC_DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


class Signer(Protocol):
    """Makes and checks the signature of a token."""

    @property
    def header(self) -> Mapping[str, str]:
        """The JOSE header of new tokens."""

    def sign(self, data: bytes) -> bytes:
        """Sign with the active key."""

    def verify(self, header: Mapping[str, Any], data: bytes, signature: bytes) -> bool:
        """Return whether one of our keys made the signature, and the header names that key."""

    def jwks(self) -> list[dict[str, str]]:
        """Return the public keys, the active one first. A shared secret has none."""


class SharedSecretSigner:
    """Signs by HMAC with MG_AUTH_SECRET_KEY."""

    def __init__(self, algorithm: str, secret: str) -> None:
        """Take HS256, HS384 or HS512 and the secret's text."""
        self.header: Mapping[str, str] = {"alg": algorithm, "typ": "JWT"}
        self._digest = _HMAC_DIGESTS[algorithm]
        self._secret = secret.encode()

    def sign(self, data: bytes) -> bytes:
        """Sign with the secret."""
        return hmac.new(self._secret, data, self._digest).digest()

    def verify(self, header: Mapping[str, Any], data: bytes, signature: bytes) -> bool:
        """Return whether the secret made the signature, by the algorithm of this service."""
        return header.get("alg") == self.header["alg"] and hmac.compare_digest(self.sign(data), signature)

    def jwks(self) -> list[dict[str, str]]:
        """Return no keys: a shared secret has no public form."""
        return []


class KeyFileSigner:
    """Signs by Ed25519 with the active key. Tokens of the retiring key, if there is one, are still valid."""

    def __init__(self, active: tuple[str, SigningKey], retiring: tuple[str, SigningKey] | None) -> None:
        """Take (key id, key) pairs."""
        self._active_id, self._active = active
        self._keys = dict([active, *([retiring] if retiring else [])])
        self.header: Mapping[str, str] = {"alg": "EdDSA", "kid": self._active_id, "typ": "JWT"}

    def sign(self, data: bytes) -> bytes:
        """Sign with the active key."""
        return self._active.sign(data).signature

    def verify(self, header: Mapping[str, Any], data: bytes, signature: bytes) -> bool:
        """Return whether the key that the header names made the signature."""
        kid = header.get("kid")
        if header.get("alg") != "EdDSA" or not isinstance(kid, str) or kid not in self._keys:
            return False
        try:
            self._keys[kid].verify_key.verify(data, signature)
        except (BadSignatureError, ValueError):  # ValueError: not 64 bytes
            return False
        return True

    def rotated(self, directory: Path, kid: str) -> KeyFileSigner:
        """Write a new key to ``<kid>.key`` in `directory`, and return a signer with this active key.

        With a new key id, the old key retires and its tokens stay valid. With the same key id, the file replaces the
        old key, whose tokens become invalid. The real service does the same when it starts with such files. Raise
        ValueError for a key id that cannot be a file name.
        """
        if not _KEY_ID.fullmatch(kid):
            raise ValueError("kid: letters, digits, - and _")
        path = directory / f"{kid}.key"
        path.unlink(missing_ok=True)
        create_key_file(path)
        retiring = None if kid == self._active_id else (self._active_id, self._active)
        return KeyFileSigner((kid, read_key_file(path)), retiring)

    @property
    def key_id(self) -> str:
        """The active key's id."""
        return self._active_id

    def jwks(self) -> list[dict[str, str]]:
        """Return the public keys in the form of contract §5.6."""
        return [
            {
                "kid": kid,
                "kty": "OKP",
                "alg": "EdDSA",
                "use": "sig",
                "crv": "Ed25519",
                "x": base64.urlsafe_b64encode(bytes(key.verify_key)).rstrip(b"=").decode(),
            }
            for kid, key in self._keys.items()
        ]


def load_signer(settings: Settings) -> Signer:
    """Return the signer of the settings, and create a missing active key file. Raise SettingsUnusable."""
    if settings.keys_algorithm != "EdDSA":
        return SharedSecretSigner(settings.keys_algorithm, settings.secret_key)
    active, retiring = (Path(settings.keys_dir, name) for name in (settings.active_key, settings.retiring_key))
    if active.stem == retiring.stem:
        raise SettingsUnusable("MG_AUTH_KEYS_ACTIVE and MG_AUTH_KEYS_RETIRING have the same key id")
    try:
        if not active.exists():
            create_key_file(active)
        retiring_key = (retiring.stem, read_key_file(retiring)) if retiring.exists() else None
        return KeyFileSigner((active.stem, read_key_file(active)), retiring_key)
    except OSError as error:
        raise SettingsUnusable(f"MG_AUTH_KEYS_DIR: {error}") from error
