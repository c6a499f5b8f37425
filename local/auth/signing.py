"""Keys that sign tokens: a shared secret (HS256/384/512) or Ed25519 key files (EdDSA) with their JWKS form.

Contract §5.5, §5.6.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey

from local.auth.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_HMAC_DIGESTS = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}

# An Ed25519 private key in PKCS #8 (RFC 8410 §7) is this and the 32-byte seed; PyNaCl reads only the seed.
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_PEM_BEGIN, _PEM_END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"


class Signer(Protocol):
    """What makes and checks the signature of a token."""

    @property
    def header(self) -> Mapping[str, str]:
        """The JOSE header of new tokens."""

    def sign(self, data: bytes) -> bytes:
        """Sign with the active key."""

    def verify(self, header: Mapping[str, Any], data: bytes, signature: bytes) -> bool:
        """Whether the signature is by a key of ours that this header may name."""

    def jwks(self) -> list[dict[str, str]]:
        """The public keys, the active one first; empty for a shared secret."""


class SharedSecretSigner:
    """HMAC with MG_AUTH_SECRET_KEY."""

    def __init__(self, algorithm: str, secret: str) -> None:
        """Take HS256, HS384 or HS512 and the secret's text."""
        self.header: Mapping[str, str] = {"alg": algorithm, "typ": "JWT"}
        self._digest = _HMAC_DIGESTS[algorithm]
        self._secret = secret.encode()

    def sign(self, data: bytes) -> bytes:
        """Sign with the secret."""
        return hmac.new(self._secret, data, self._digest).digest()

    def verify(self, header: Mapping[str, Any], data: bytes, signature: bytes) -> bool:
        """Whether the signature is by the secret, with the algorithm of this service."""
        return header.get("alg") == self.header["alg"] and hmac.compare_digest(self.sign(data), signature)

    def jwks(self) -> list[dict[str, str]]:
        """Nothing: a shared secret has no public form."""
        return []


class KeyFileSigner:
    """Ed25519 with an active key and optionally a retiring one, whose tokens are still good."""

    def __init__(self, active: tuple[str, SigningKey], retiring: tuple[str, SigningKey] | None) -> None:
        """Take (key id, key) pairs."""
        self._active_id, self._active = active
        self._keys = dict([active, *([retiring] if retiring else [])])
        self.header: Mapping[str, str] = {"alg": "EdDSA", "kid": self._active_id, "typ": "JWT"}

    def sign(self, data: bytes) -> bytes:
        """Sign with the active key."""
        return self._active.sign(data).signature

    def verify(self, header: Mapping[str, Any], data: bytes, signature: bytes) -> bool:
        """Whether the signature is by the key that the header names."""
        kid = header.get("kid")
        if header.get("alg") != "EdDSA" or not isinstance(kid, str) or kid not in self._keys:
            return False
        try:
            self._keys[kid].verify_key.verify(data, signature)
        except (BadSignatureError, ValueError):  # ValueError: not 64 bytes
            return False
        return True

    def rotated(self, directory: Path, kid: str) -> KeyFileSigner:
        """The signer after a rotation: a new active key, which is written to ``<kid>.key`` in `directory`.

        With another key id the key of before retires, and its tokens stay good. With the same key id its file is
        replaced, and its tokens are good no more. The real service does the same when it is started with such files.
        Raises ValueError for a key id that makes no file name.
        """
        if not _KEY_ID.fullmatch(kid):
            raise ValueError("kid: letters, digits, - and _")
        path = directory / f"{kid}.key"
        path.unlink(missing_ok=True)
        _create_key_file(path)
        retiring = None if kid == self._active_id else (self._active_id, self._active)
        return KeyFileSigner((kid, _read_key_file(path)), retiring)

    @property
    def key_id(self) -> str:
        """The active key's id."""
        return self._active_id

    def jwks(self) -> list[dict[str, str]]:
        """The public keys as contract §5.6 lists them."""
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
    """Make the signer that the settings ask for; a missing active key file is made. Raises SettingsError."""
    if settings.keys_algorithm != "EdDSA":
        return SharedSecretSigner(settings.keys_algorithm, settings.secret_key)
    active, retiring = (Path(settings.keys_dir, name) for name in (settings.active_key, settings.retiring_key))
    if active.stem == retiring.stem:
        raise SettingsError("MG_AUTH_KEYS_ACTIVE and MG_AUTH_KEYS_RETIRING give the same key id")
    try:
        if not active.exists():
            _create_key_file(active)
        retiring_key = (retiring.stem, _read_key_file(retiring)) if retiring.exists() else None
        return KeyFileSigner((active.stem, _read_key_file(active)), retiring_key)
    except OSError as error:
        raise SettingsError(f"MG_AUTH_KEYS_DIR: {error}") from error


def _create_key_file(path: Path) -> None:
    """Write a new key, whole from the moment it has its name; another process' key of that name stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    der = base64.b64encode(_PKCS8_PREFIX + bytes(SigningKey.generate())).decode()
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".new-key-") as file:  # made with mode 0600
        file.write(f"{_PEM_BEGIN}\n{der}\n{_PEM_END}\n")
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return


def _read_key_file(path: Path) -> SigningKey:
    lines = path.read_text(encoding="ascii", errors="replace").split()
    body = " ".join(lines).removeprefix(_PEM_BEGIN).removesuffix(_PEM_END)
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if len(der) != len(_PKCS8_PREFIX) + 32 or not der.startswith(_PKCS8_PREFIX):
        raise SettingsError(f"MG_AUTH_KEYS_DIR: {path} is not an Ed25519 private key in PEM (PKCS #8)")
    return SigningKey(der[len(_PKCS8_PREFIX) :])
