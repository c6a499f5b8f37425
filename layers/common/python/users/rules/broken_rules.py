"""Checks of several rules of one request, so that its answer names every broken rule at once (decisions 44).

    with all_rules() as rules:
        rules.check(check_username, body.username)
        limit = rules.read(10, query.number, "limit", 10)

After the block the request obeys all rules.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from users.errors import BadRequest, Detail, Unauthenticated, UsersError

P = ParamSpec("P")
T = TypeVar("T")


class Rules:
    """The broken rules so far. ``first`` is the first of them, None while no rule is broken."""

    def __init__(self) -> None:
        self.first: BadRequest | None = None
        self._details: list[Detail] = []

    def check(self, rule: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call ``rule``, and note the BadRequest that it raises."""
        self.read(None, rule, *args, **kwargs)

    def read(self, otherwise: T, reader: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the result of ``reader``. When it raises BadRequest, note the error and return ``otherwise``."""
        try:
            return reader(*args, **kwargs)
        except BadRequest as error:
            self.first = self.first or error
            self._details += [detail for detail in error.details if detail not in self._details]
            return otherwise

    def broken(self) -> BadRequest | None:
        """Return an error with the details of all broken rules, and message and code of the first, or None."""
        return self.first and BadRequest(self.first.code, self.first.message, details=self._details)


@contextmanager
def all_rules() -> Iterator[Rules]:
    """Raise BadRequest at the end of the block when the block broke a rule.

    A broken rule takes precedence over any other error of the block, such as a missing account. Only Unauthenticated
    takes precedence over a broken rule (contract §1.2).
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
