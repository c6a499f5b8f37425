"""An attempt to log in, and the account that it is about, as ``repository.logins`` finds them."""

from dataclasses import dataclass
from datetime import datetime

from users.access import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """An account and its password hash (argon2id or bcrypt; empty for external accounts).

    ``typed`` is the name that somebody typed, empty where the caller's own account is meant. ``secret_age`` is the
    password's age in seconds. From a known address the identity's own limit is not counted. Where ``takes_password``
    is false, the right password is answered as a wrong one (security.md S47, S48).
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
class Attempt:
    """A login attempt: whether the limits allow it, else after how many seconds; and whose account it is about.

    ``recent``: a limit was reached a moment ago, perhaps by logins that are about to succeed and give it back.
    """

    login: Login | None
    allowed: bool
    retry_after: int
    recent: bool
