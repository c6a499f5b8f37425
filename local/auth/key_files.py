"""Files of Ed25519 private keys, in PEM (PKCS #8)."""

from __future__ import annotations

import base64
import binascii
import os
import tempfile
from typing import TYPE_CHECKING

from nacl.signing import SigningKey

from local.serving.variables import SettingsUnusable

if TYPE_CHECKING:
    from pathlib import Path

# An Ed25519 key in PKCS #8 (RFC 8410, section 7) is this prefix and the seed of 32 bytes. PyNaCl reads only the seed.
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_PEM_BEGIN, _PEM_END = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"


def create_key_file(path: Path) -> None:
    """Write a new key file, whole or not at all. Leave the file of another process that was faster."""
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


def read_key_file(path: Path) -> SigningKey:
    """Return the key of a file. Raise SettingsUnusable for any other content."""
    lines = path.read_text(encoding="ascii", errors="replace").split()
    body = " ".join(lines).removeprefix(_PEM_BEGIN).removesuffix(_PEM_END)
    try:
        der = base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        der = b""
    if len(der) != len(_PKCS8_PREFIX) + 32 or not der.startswith(_PKCS8_PREFIX):
        raise SettingsUnusable(f"MG_AUTH_KEYS_DIR: {path} is not an Ed25519 private key in PEM (PKCS #8)")
    return SigningKey(der[len(_PKCS8_PREFIX) :])
