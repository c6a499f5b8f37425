"""The Authorization header (contract §1.3)."""

import pytest

from users.access import ANYBODY, SIGNED_IN, TokenType
from users.edge.authentication import bearer_token
from users.errors import Unauthenticated


@pytest.mark.parametrize("token", ["x", "x y", "\tx", "Bearer x", "x "])
@pytest.mark.parametrize("blanks", [" ", "  ", "     "])
def test_the_token_is_the_rest_behind_the_blanks(token: str, blanks: str) -> None:
    """With two blanks, upstream accepts an access token, because its JWT library trims it."""
    assert bearer_token({"authorization": f"Bearer{blanks}{token}"}) == token


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer   ", "bearer x", "BEARER x", "Basic x", "Bearer\tx", " Bearer x"]
)
def test_no_token(header: str | None) -> None:
    with pytest.raises(Unauthenticated, match=r"^missing or invalid bearer user token$") as caught:
        bearer_token({} if header is None else {"authorization": header})
    assert caught.value.code == "missing_token"


def test_which_tokens_are_good_where() -> None:
    assert SIGNED_IN.tokens == {TokenType.ACCESS, TokenType.API_KEY, TokenType.PERSONAL_ACCESS_TOKEN}
    assert ANYBODY.tokens == frozenset()
