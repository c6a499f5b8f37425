"""An attempt to log in and its account, as ``repository.logins`` finds them."""

from dataclasses import dataclass
from datetime import datetime

from users.access import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account and its password hash: argon2id or bcrypt, empty for external accounts.

    ``typed`` is the name that somebody typed, empty for the caller's own account. ``secret_age`` is the password's age
    in seconds. An attempt from a known address does not count against the identity's own limit. Where
    ``takes_password`` is false, the right password gets the answer of a wrong one (S47).
    """

    account: Account
    typed: str
    secret_hash: str
    secret_changed_at: datetime | None
    secret_age: float
    email: str
    username: str
    from_known_address: bool
    takes_password: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The state of the limits: ``allowed`` now, else after ``retry_after`` seconds.

    ``silenced``: a limit that the account's names share is reached, so the right password gets the answer of a wrong
    one.
    """

    allowed: bool
    silenced: bool
    retry_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt to log in by ``identity``, before its password is checked.

    ``identity`` is a typed name or, where ``by_name`` is False, the caller's own id. ``login`` is None for an unknown
    identity. ``limits`` is their state at the beginning.
    """

    identity: str
    by_name: bool
    login: Login | None
    limits: Limits
