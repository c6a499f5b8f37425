"""The right to call an operation, by the operation's declaration, the caller's token and the caller's row.

An operation declares an ``Access``. ``users.edge.authentication`` makes the ``Session`` from the bearer token. The
operation's own query reads the caller's ``Account`` row (decisions 15). ``admit`` compares the three.
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
# People make these tokens for their programs. The tokens stay valid when their owner changes the password.
PROGRAM_TOKENS = frozenset({TokenType.API_KEY, TokenType.PERSONAL_ACCESS_TOKEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The conditions of an operation for its caller.

    ``tokens``: the kinds of token that the operation accepts (decisions 14). Empty: anybody may call it.
    ``verified``: the e-mail address must be verified. Administrators are exempt (contract §1.3).
    ``administrator``: the account's role must be admin.
    ``own_profile``: the operation changes a profile. A program's token may change its owner's profile (S51).
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
# For operations on passwords, e-mail addresses, roles, tokens and deletions: no PAT, no API key (decisions 14).
IN_PERSON = Access(tokens=ACCESS_TOKENS)
IN_PERSON_UNVERIFIED = Access(tokens=ACCESS_TOKENS, verified=False)
ADMINISTRATOR_IN_PERSON = Access(tokens=ACCESS_TOKENS, administrator=True)
REFRESHING = Access(tokens=REFRESH_TOKENS, verified=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The content of a genuine token. ``issued_at`` is in Unix seconds, and None for PATs and API keys."""

    user_id: str
    token_type: TokenType
    issued_at: int | None = None

    @property
    def token_type_name(self) -> str:
        """Return the kind's name in events (contract §7.2)."""
        return "pat" if self.token_type is TokenType.PERSONAL_ACCESS_TOKEN else "access token"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The columns of the caller's row that decide about access.

    ``tokens_valid_from`` is in Unix seconds, and 0 for an account without a security change.
    """

    id: str
    status: int
    role: int
    verified: bool
    tokens_valid_from: int

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Account":
        """Return the account of a row that has the columns of these fields."""
        return cls(
            id=row["id"],
            status=row["status"],
            role=row["role"] or 0,
            verified=row["verified"],
            tokens_valid_from=row["tokens_valid_from"],
        )

    @property
    def is_admin(self) -> bool:
        """Return whether the stored role is admin. Claims of tokens do not count (decisions 15)."""
        return self.role == Role.ADMIN


def admit(session: Session, account: Account | None, access: Access) -> Account:
    """Return the caller's account if the caller may call the operation.

    Raise Unauthenticated for an account that is missing or not enabled, for an old token and for an unverified address.
    Raise Forbidden where the role is missing. ``account`` is the present row of ``session.user_id``. A token must not
    be older than the account's last security change: ``iat >= tokens_valid_from`` (decisions 15).
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
