"""Forgetting old data about accounts that stay (S56), and expired limits and suppressions."""

from collections.abc import Callable

from background.repository.forgetting import EXPIRED_ROWS, OLD_ROWS, UselessRows, forget


def forget_old(time_is_left: Callable[[], bool]) -> int:
    """Delete old rows in batches, until there are none or time is over. Return how many."""
    return sum(_forget_all(rows, time_is_left) for rows in OLD_ROWS)


def forget_expired(time_is_left: Callable[[], bool]) -> None:
    """Delete limits whose window is over, and suppressions of addresses that may get mails again."""
    for rows in EXPIRED_ROWS:
        _forget_all(rows, time_is_left)


def _forget_all(rows: UselessRows, time_is_left: Callable[[], bool]) -> int:
    total = 0
    while time_is_left() and (forgotten := forget(rows)):
        total += forgotten
    return total
