"""The check of a password against the limits of wrong ones (S8, S13, S47, S48).

The limits are read before the password is checked, so that a blocked attempt costs no hash. They are read again after
the check, and the second reading decides the answer. Nothing is locked between the two. Right and wrong passwords take
turns in the same counters. So a guesser gets from many requests at once no more answers than from one after the other.
"""

from users.errors import TooManyRequests
from users.models import Status
from users.repository import login_limits
from users.repository.login_failures import record_failure
from users.rules.attempts import Attempt, Limits, Login


def allowed(attempt: Attempt) -> Attempt:
    """Return the attempt. TooManyRequests when a limit is reached (S8)."""
    if not attempt.limits.allowed:
        raise TooManyRequests(attempt.limits.retry_after)
    return attempt


def accepted(attempt: Attempt, address: str, *, right: bool) -> Login | None:
    """Return the login of an enabled account whose password was ``right``. Count any other attempt and return None.

    TooManyRequests when a limit was reached meanwhile, whether the password was right or wrong. The work is the same in
    both cases. It is also the same for a wrong password and for a right one that is refused (S48).
    """
    login = attempt.login
    takes_password = login is not None and login.takes_password and not attempt.limits.silenced
    if login is not None and takes_password and right and login.account.status == Status.ENABLED:
        limits = _if_allowed(login_limits.take_turn(attempt, address), attempt, address)
        if not limits.silenced:
            return login
    counted = _if_allowed(login_limits.count_failure(attempt, address), attempt, address)
    # Where the account takes no password from this network, the answer depends on no password: no guess was made (S47).
    guessed = login if takes_password and not counted.silenced and not right else None
    _record_guess(guessed, address)
    return None


def _if_allowed(limits: Limits, attempt: Attempt, address: str) -> Limits:
    if not limits.allowed:
        raise TooManyRequests(login_limits.check_limits(attempt, address).retry_after)
    return limits


def _record_guess(login: Login | None, address: str) -> None:
    """Count a wrong password of an account that has one. Run the same statement where nothing is counted."""
    guessed = login if login is not None and login.secret_hash else None
    record_failure(guessed.account.id if guessed else None, guessed.email if guessed else "", address)
