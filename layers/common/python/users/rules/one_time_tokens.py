"""The tokens in mail links: verification, password reset, invitation (decisions 14, S22–S25).

A token is derived from the server's secret and the outbox row that sends it. So every delivery of one mail contains the
same link, and no table contains the token. The database stores its SHA-256, purpose, account and expiry.
"""

import base64
import hashlib
import hmac
from typing import Literal

from users.aws.secrets import secret
from users.rules.secret_key import check_secret_key
from users.settings import settings

Purpose = Literal["verification", "password_reset", "invitation"]

# Validity of a token, in seconds after its mail was first sent.
LIFETIMES: dict[Purpose, int] = {"verification": 24 * 3600, "password_reset": 30 * 60, "invitation": 7 * 24 * 3600}
# The start of each token, by which secret scanners recognise a leaked token.
_PREFIXES: dict[Purpose, str] = {
    "verification": "mgverify_",
    "password_reset": "mgreset_",
    "invitation": "mginvite_",
}


def derive(purpose: Purpose, outbox_id: str, user_id: str) -> str:
    """Return the token that the outbox row sends to the account: a prefix and 256 bits, URL-safe."""
    check_secret_key()
    message = f"{purpose}\0{outbox_id}\0{user_id}".encode()
    mac = hmac.digest(secret(settings().secret_key).encode(), message, "sha256")
    return _PREFIXES[purpose] + base64.urlsafe_b64encode(mac).decode().rstrip("=")


def digest(token: str) -> bytes:
    """Return the SHA-256 of a token, which the database stores."""
    return hashlib.sha256(token.encode()).digest()
