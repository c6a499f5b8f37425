"""Checking several rules of one request, so that its answer names every broken one at once (decisions 44).

    with all_rules() as rules:
        rules.check(check_username, body.username)
        limit = rules.read(10, query.number, "limit", 10)

After the block all rules are kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from users.errors import BadRequest, Detail, Unauthenticated, UsersError

P = ParamSpec("P")
T = TypeVar("T")


class Rules:
    """The broken rules so far. ``first`` is the first of them, None while all are kept."""

    def __init__(self) -> None:
        self.first: BadRequest | None = None
        self._details: list[Detail] = []

    def check(self, rule: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call ``rule``, and note the BadRequest that it raises."""
        self.read(None, rule, *args, **kwargs)

    def read(self, otherwise: T, reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``reader`` returns; where it raises BadRequest, note that and return ``otherwise``."""
        try:
            return reader(*args, **kwargs)
        except BadRequest as error:
            self.first = self.first or error
            self._details += [detail for detail in error.details if detail not in self._details]
            return otherwise

    def broken(self) -> BadRequest | None:
        """Return the error that tells all broken rules: message and code are those of the first one."""
        return self.first and BadRequest(self.first.code, self.first.message, details=self._details)


@contextmanager
def all_rules() -> Iterator[Rules]:
    """Raise BadRequest at the end of the block when a rule was broken in it.

    A broken rule comes before any other error that the block raises, such as an account that is not there. Only who is
    not signed in hears of that first (contract §1.2).
    """
    rules = Rules()
    try:
        yield rules
    except UsersError as error:
        if (broken := rules.broken()) and not isinstance(error, Unauthenticated):
            raise broken from error
        raise
    if broken := rules.broken():
        raise broken
