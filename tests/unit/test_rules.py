"""Collecting broken rules: their order, what comes before them, and that nothing is lost."""

import pytest

from users.errors import BadRequest, Detail, Forbidden, NotFound, Unauthenticated, Unavailable, UsersError
from users.rules.broken_rules import Rules, all_rules


def broken(code: str, *fields: str) -> int:
    raise BadRequest(code, f"{code} message", details=[Detail(field, code, "m") for field in fields])


def block(*codes: str, end: Exception | None = None) -> Rules:
    """The rules of a block in which rules with these codes are broken, and which ``end`` ends."""
    with all_rules() as rules:
        for code in codes:
            rules.check(broken, code, f"{code}1", f"{code}2")
        if end:
            raise end
    return rules


def test_kept_rules_change_nothing() -> None:
    assert block().first is None
    assert Rules().read(0, int, "7") == 7


def test_the_first_broken_rule_gives_code_and_message() -> None:
    with pytest.raises(BadRequest, match=r"^a message$") as caught:
        block("a", "b", "a")
    assert caught.value.code == "a"
    assert caught.value.details == [("a1", "a", "m"), ("a2", "a", "m"), ("b1", "b", "m"), ("b2", "b", "m")]


def test_a_value_that_cannot_be_read_is_another_one() -> None:
    rules = Rules()
    assert rules.read(5, broken, "a", "x") == 5
    assert rules.first is not None


@pytest.mark.parametrize("later", [NotFound(), Forbidden(), Unavailable("database", "TimeoutError")])
def test_a_broken_rule_comes_before_what_the_block_meets_later(later: UsersError) -> None:
    with pytest.raises(BadRequest, match="a message"):
        block("a", end=later)
    with pytest.raises(type(later)):
        block(end=later)


@pytest.mark.parametrize("later", [Unauthenticated(), ZeroDivisionError()])
def test_neither_a_stranger_nor_a_defect_is_hidden_by_a_broken_rule(later: Exception) -> None:
    with pytest.raises(type(later)):
        block("a", end=later)
