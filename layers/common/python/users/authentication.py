"""From the ``Authorization`` header to a session (contract §1.3; decisions.md 14, 15)."""

import re
from collections.abc import Mapping

from users.access import Access, Session, TokenType
from users.errors import Unauthenticated
from users.settings import settings

_PREFIX = "Bearer "
# pat_<base64 of 32 bytes>_<100 characters> (contract §5.6); anything else with that start is no token at all.
_PAT = re.compile(r"pat_[A-Za-z0-9+/_=-]{43,44}_[^\s]{100}")


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the request; Unauthenticated when there is none. The prefix is case-sensitive."""
    header = headers.get("authorization", "")
    if not header.startswith(_PREFIX) or len(header) == len(_PREFIX):
        raise Unauthenticated("missing_token", "missing or invalid bearer user token")
    return header.removeprefix(_PREFIX)


def authenticate(token: str, access: Access) -> Session:
    """The session of a token that is genuine and good for this operation; else Unauthenticated.

    With EdDSA keys access tokens are checked here. Auth is asked for PATs and API keys, which it can revoke, and for
    everything when its keys are symmetric.
    """
    session = _local_session(token) if settings().auth_keys_algorithm == "EdDSA" else _remote_session(token)
    if session.token_type not in access.tokens:
        raise Unauthenticated
    return session


def _local_session(token: str) -> Session:
    from users import jwt  # PyNaCl, which HS installations do not need

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
    from users import auth_client, jwt  # grpc: 60 ms that an EdDSA access token does not pay

    if token.startswith("pat") and not _PAT.fullmatch(token):
        raise Unauthenticated
    if not (token.isascii() and token.isprintable()):
        raise Unauthenticated
    user_id, token_type = auth_client.authenticate(token)
    issued_at = None
    if token_type not in {TokenType.API_KEY, TokenType.PERSONAL_ACCESS_TOKEN}:
        issued_at = jwt.issued_at(jwt.unverified_claims(token))
        if issued_at is None:
            raise Unauthenticated
    return Session(user_id=user_id, token_type=token_type, issued_at=issued_at)
