"""From the ``Authorization`` header to a session (contract §1.3, decisions 14, 15)."""

import re
from collections.abc import Mapping

from users.access import PROGRAM_TOKENS, Access, Session, TokenType
from users.errors import Unauthenticated
from users.settings import settings

_SCHEME = "Bearer "
# pat_<base64 of 32 bytes>_<100 printable characters> (contract §5.6); anything else with this prefix is no token.
_PAT = re.compile(r"pat_[A-Za-z0-9+/]{43}=_[!-^`-~]{100}")


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the token of the request. Unauthenticated when there is none.

    The scheme's letter case counts. One or more blanks stand before the token (RFC 6750).
    """
    header = headers.get("authorization", "")
    token = header.removeprefix(_SCHEME).lstrip(" ")
    if not header.startswith(_SCHEME) or not token:
        raise Unauthenticated("missing_token", "missing or invalid bearer user token")
    return token


def authenticate(token: str, access: Access) -> Session:
    """Return the session of a token that is genuine and good for this operation. Unauthenticated for any other.

    With EdDSA keys this module checks access tokens itself. Auth checks PATs and API keys, because it can revoke them,
    and every token when its keys are symmetric. Auth never gets a malformed PAT, because upstream's Auth crashes by it.
    """
    session = _local_session(token) if settings().auth_keys_algorithm == "EdDSA" else _remote_session(token)
    if session.token_type not in access.tokens:
        raise Unauthenticated
    return session


def _local_session(token: str) -> Session:
    from users.peers import jwt  # PyNaCl, which HS installations do not need

    if token.startswith("pat_"):
        return _remote_session(token)
    claims = jwt.verified_claims(token)
    if claims["type"] == TokenType.API_KEY:
        return _remote_session(token)
    issued_at = jwt.issued_at(claims)
    if issued_at is None:
        raise Unauthenticated
    return Session(user_id=claims["sub"], token_type=TokenType(claims["type"]), issued_at=issued_at)


def _remote_session(token: str) -> Session:
    from users.peers import (
        auth,  # grpc: 60 ms that an EdDSA access token does not pay
        jwt,
    )

    if not (token.isascii() and token.isprintable()) or (_is_pat(token) and not _PAT.fullmatch(token)):
        raise Unauthenticated
    claims = {} if _is_pat(token) else jwt.unverified_claims(token)
    kind = TokenType.PERSONAL_ACCESS_TOKEN if _is_pat(token) else claims.get("type")
    is_a_programs = any(kind == each for each in PROGRAM_TOKENS)  # a claim may be a list, which a set cannot look up
    if is_a_programs and not settings().pats:
        raise Unauthenticated
    user_id, token_type = auth.authenticate(token)
    # Auth has verified the claims. An answer without a kind reads as 0, the kind of an access token.
    if kind != token_type:
        raise Unauthenticated
    issued_at = None if is_a_programs else jwt.issued_at(claims)
    if issued_at is None and not is_a_programs:
        raise Unauthenticated
    return Session(user_id=user_id, token_type=token_type, issued_at=issued_at)


def _is_pat(token: str) -> bool:
    """Return whether Auth treats a token as a personal access token. Auth looks at the prefix without the ``_``."""
    return token.startswith("pat")
