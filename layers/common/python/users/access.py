"""Who may call an operation: what it declares, what the token says, and what the caller's row says.

An operation declares an ``Access``; ``authentication`` makes the ``Session`` from the bearer token; the operation's
own query brings the caller's ``Account`` row (decisions 15). ``admit`` holds the three against each other.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from users.errors import Forbidden, Unauthenticated
from users.models import Role, Status
from users.settings import settings


class TokenType(IntEnum):
    """The kinds of token that Auth makes (contract §5.3)."""

    ACCESS = 0
    REFRESH = 1
    RECOVERY = 2
    API_KEY = 3
    PERSONAL_ACCESS_TOKEN = 4
    INVITATION = 5


ORDINARY_TOKENS = frozenset({TokenType.ACCESS, TokenType.API_KEY, TokenType.PERSONAL_ACCESS_TOKEN})
# What people make for their programs. These tokens stay good when their owner changes the password.
PROGRAM_TOKENS = frozenset({TokenType.API_KEY, TokenType.PERSONAL_ACCESS_TOKEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What an operation asks of its caller.

    ``tokens``: the kinds of token that are good here (decisions 14), none for an operation that anybody may call;
    ``verified``: the e-mail address must be verified (administrators are exempt, contract §1.3);
    ``administrator``: the account's role must be admin;
    ``own_profile``: the operation changes a profile, and a program's token may change its owner's (S51).
    """

    tokens: frozenset[TokenType] = ORDINARY_TOKENS
    verified: bool = True
    administrator: bool = False
    own_profile: bool = False


ACCESS_TOKENS = frozenset({TokenType.ACCESS})
REFRESH_TOKENS = frozenset({TokenType.REFRESH})

ANYBODY = Access(tokens=frozenset(), verified=False)
SIGNED_IN = Access()
SIGNED_IN_UNVERIFIED = Access(verified=False)
CHANGING_PROFILE = Access(own_profile=True)
ADMINISTRATOR = Access(administrator=True)
# For password, e-mail, role, token and deletion operations: no PAT, no API key (decisions 14).
IN_PERSON = Access(tokens=ACCESS_TOKENS)
IN_PERSON_UNVERIFIED = Access(tokens=ACCESS_TOKENS, verified=False)
ADMINISTRATOR_IN_PERSON = Access(tokens=ACCESS_TOKENS, administrator=True)
REFRESHING = Access(tokens=REFRESH_TOKENS, verified=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a token that Auth vouches for says. ``issued_at`` is in Unix seconds, None for PATs and API keys."""

    user_id: str
    token_type: TokenType
    issued_at: int | None = None

    @property
    def token_type_name(self) -> str:
        """The word that events use (contract §7.2)."""
        return "pat" if self.token_type is TokenType.PERSONAL_ACCESS_TOKEN else "access token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The caller's row as far as access goes. ``tokens_valid_from`` is in Unix seconds, 0 when nothing changed."""

    id: str
    status: int
    role: int
    verified: bool
    tokens_valid_from: int

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Account":
        """From a row with the columns ``repository.accounts.ACCOUNT`` selects."""
        return cls(
            id=row["id"],
            status=row["status"],
            role=row["role"] or 0,
            verified=row["verified"],
            tokens_valid_from=row["tokens_valid_from"],
        )

    @property
    def is_admin(self) -> bool:
        """Whether the stored role is admin; no claim of a token counts (decisions 15)."""
        return self.role == Role.ADMIN


def admit(session: Session, account: Account | None, access: Access) -> Account:
    """Let the caller in, or raise: 401 for a dead account or token, 401 for an unverified one, 403 for a role missing.

    ``account`` is the row of ``session.user_id`` as it is now, None when there is none. A token is good when it is
    not older than the account's last security change: ``iat >= tokens_valid_from`` (decisions 15).
    """
    if account is None or account.status != Status.ENABLED:
        raise Unauthenticated
    if session.issued_at is not None and session.issued_at < account.tokens_valid_from:
        raise Unauthenticated
    if access.verified and not (account.verified or account.is_admin or settings().allow_unverified_user):
        raise Unauthenticated("email_not_verified", "email not verified")
    if access.administrator and not account.is_admin:
        raise Forbidden("not_administrator", "not authorized to perform admin action")
    return account
