"""Cursors of lists (decisions 24, 31, S49).

A cursor contains the last row's order value and id. It is encrypted, because a row's values are not for every reader of
a URL or a log. It is authenticated, because a forged cursor could query rows that its maker may not see.
"""

import base64
import json
from dataclasses import dataclass

from users.errors import BadRequest

_NONCE_BYTES = 24
_TAG_BYTES = 16
# The plaintext is padded to a multiple of this, so that the length of a cursor does not reveal the length of a value.
_BLOCK_BYTES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The list that a cursor belongs to: the name of its operation, and the order of its rows."""

    operation: str
    order: str
    descending: bool

    @property
    def bound(self) -> bytes:
        """The additional data that authenticates a cursor of this list."""
        return json.dumps([self.operation, self.order, self.descending]).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The end of a page: the order value of its last row, as PostgreSQL's text, and the row's id."""

    value: str
    id: str

    def encode(self, place: Place) -> str:
        """Return the text that clients send back: base64url of XChaCha20-Poly1305 with a random nonce."""
        from nacl import bindings  # only pages with a next page need it

        plain = bindings.sodium_pad(json.dumps([self.value, self.id]).encode(), _BLOCK_BYTES)
        nonce = bindings.randombytes(_NONCE_BYTES)
        sealed = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, place.bound, nonce, _key())
        return _base64(nonce + sealed)

    @classmethod
    def decode(cls, text: str, place: Place) -> "Cursor":
        """Return the cursor in ``text``. BadRequest unless ``encode`` made the text for the same place."""
        from nacl import bindings
        from nacl.exceptions import CryptoError

        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except ValueError as error:
            raise _invalid() from error
        # Python's decoder skips foreign characters and spare bits. Only the spelling of `encode` is accepted.
        if len(sealed) <= _NONCE_BYTES + _TAG_BYTES or _base64(sealed) != text:
            raise _invalid()
        nonce, sealed = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            plain = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, place.bound, nonce, _key())
        except CryptoError as error:
            raise _invalid() from error
        value, row_id = json.loads(bindings.sodium_unpad(plain, _BLOCK_BYTES))
        return cls(value=value, id=row_id)


def _key() -> bytes:
    from users.rules.secret_key import derived_key

    return derived_key("cursor")


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _invalid() -> BadRequest:
    return BadRequest("invalid_cursor", "invalid cursor", field="cursor")
