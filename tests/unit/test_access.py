"""Which callers are admitted: the session, the row and the required access (decisions 14, 15)."""

from collections.abc import Callable

import pytest

from users.access import ADMINISTRATOR, SIGNED_IN, SIGNED_IN_UNVERIFIED, Account, Session, TokenType, admit
from users.errors import Forbidden, Unauthenticated

SESSION = Session(user_id="7", token_type=TokenType.ACCESS, issued_at=1000)
PAT = Session(user_id="7", token_type=TokenType.PERSONAL_ACCESS_TOKEN)


def account(*, status: int = 0, role: int = 0, verified: bool = True, tokens_valid_from: int = 0) -> Account:
    return Account.from_row(
        {"id": "7", "status": status, "role": role, "verified": verified, "tokens_valid_from": tokens_valid_from}
    )


@pytest.mark.parametrize("valid_from", [0, 999, 1000])
def test_a_token_is_good_from_the_second_of_the_last_change(valid_from: int) -> None:
    assert admit(SESSION, account(tokens_valid_from=valid_from), SIGNED_IN).id == "7"


def test_an_older_token_is_dead() -> None:
    with pytest.raises(Unauthenticated):
        admit(SESSION, account(tokens_valid_from=1001), SIGNED_IN)


def test_a_pat_is_bound_by_the_status_alone() -> None:
    assert admit(PAT, account(tokens_valid_from=1001), SIGNED_IN).id == "7"
    with pytest.raises(Unauthenticated):
        admit(PAT, account(status=1), SIGNED_IN)


@pytest.mark.parametrize("row", [None, account(status=1), account(status=2), account(status=1, role=1)])
def test_nobody_any_more(row: Account | None) -> None:
    with pytest.raises(Unauthenticated, match=r"^failed to perform authentication over the entity$"):
        admit(SESSION, row, SIGNED_IN_UNVERIFIED)


def test_unverified() -> None:
    with pytest.raises(Unauthenticated, match=r"^email not verified$") as caught:
        admit(SESSION, account(verified=False), SIGNED_IN)
    assert caught.value.code == "email_not_verified"
    assert admit(SESSION, account(verified=False), SIGNED_IN_UNVERIFIED)
    assert admit(SESSION, account(verified=False, role=1), ADMINISTRATOR)


def test_unverified_accounts_may_be_let_in(configure: Callable[..., None]) -> None:
    configure(MG_ALLOW_UNVERIFIED_USER="true")
    assert admit(SESSION, account(verified=False), SIGNED_IN)


def test_not_an_administrator() -> None:
    with pytest.raises(Forbidden, match=r"^not authorized to perform admin action$"):
        admit(SESSION, account(), ADMINISTRATOR)


def test_a_missing_role_is_an_ordinary_one() -> None:
    row = {"id": "7", "status": 0, "role": None, "verified": True, "tokens_valid_from": 0}
    assert not Account.from_row(row).is_admin


def test_the_word_for_a_token_in_events() -> None:
    assert (SESSION.token_type_name, PAT.token_type_name) == ("access token", "pat")
