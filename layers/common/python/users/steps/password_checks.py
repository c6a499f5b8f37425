"""Whether somebody's password is taken, against the limits of wrong ones (security.md S8, S13, S47, S48).

The limits are asked before the password is checked, so that a blocked attempt costs no hash, and after it. Between the
two nothing is locked. What is answered is what the second time says. Right and wrong passwords take their turns in
the same counters. So whoever guesses at once in many requests gets no more answers than one after the other, and no
better ones.
"""

from users.errors import TooManyRequests
from users.models import Status
from users.repository import logins
from users.repository.login_failures import record_failure
from users.rules.attempts import Attempt, Limits, Login


def allowed(attempt: Attempt) -> Attempt:
    """Return an attempt that has begun; TooManyRequests when a limit is reached (security.md S8)."""
    if not attempt.limits.allowed:
        raise TooManyRequests(attempt.limits.retry_after)
    return attempt


def accepted(attempt: Attempt, address: str, *, right: bool) -> Login | None:
    """Return the login of an enabled account whose password was ``right``, None for a refused one, which is counted.

    TooManyRequests when a limit was reached meanwhile, whether the password was right or wrong, and after the same
    work. So is the work of a right password that is not taken and of a wrong one (S48).
    """
    login = attempt.login
    takes_password = login is not None and login.takes_password and not attempt.limits.silenced
    if login is not None and takes_password and right and login.account.status == Status.ENABLED:
        limits = _if_allowed(logins.take_turn(attempt, address), attempt, address)
        if not limits.silenced:
            return login
    counted = _if_allowed(logins.count_failure(attempt, address), attempt, address)
    # Where the account takes no password from this network, the answer tells nothing about it: no guess was made (S47).
    guessed = login if takes_password and not counted.silenced and not right else None
    _record_guess(guessed, address)
    return None


def _if_allowed(limits: Limits, attempt: Attempt, address: str) -> Limits:
    if not limits.allowed:
        raise TooManyRequests(logins.check_limits(attempt, address).retry_after)
    return limits


def _record_guess(login: Login | None, address: str) -> None:
    """Count a wrong password of an account that has one, with the same statement where there is none to count."""
    guessed = login if login is not None and login.secret_hash else None
    record_failure(guessed.account.id if guessed else None, guessed.email if guessed else "", address)
