"""An attempt to log in, and the account that it is about, as ``repository.logins`` finds them."""

from dataclasses import dataclass
from datetime import datetime

from users.access import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account and its password hash (argon2id or bcrypt; empty for external accounts).

    ``typed`` is the name that somebody typed, empty where the caller's own account is meant. ``secret_age`` is the
    password's age in seconds. From a known address the identity's own limit is not counted. Where ``takes_password``
    is false, the right password is answered as a wrong one (S47).
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
    """Whether the limits allow an attempt, else after how many seconds.

    ``silenced``: a limit that the account's names share is reached, so the right password is answered as a wrong one.
    """

    allowed: bool
    silenced: bool
    retry_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """An attempt to log in by ``identity``, before its password is checked.

    ``identity`` is a name that was typed or, where ``by_name`` is False, the caller's own id. ``login`` is None for an
    unknown one. ``limits`` are those at the beginning.
    """

    identity: str
    by_name: bool
    login: Login | None
    limits: Limits
