"""The tokens of mail links (decisions 14; S22)."""

import base64
import hashlib
import uuid
from collections.abc import Callable

import pytest

from users.rules import one_time_tokens
from users.rules.one_time_tokens import Purpose
from users.settings import WrongSettings

SECRET = "s" * 32


def test_a_token_is_the_same_at_each_delivery_and_differs_by_all_it_stands_for(configure: Callable[..., None]) -> None:
    configure(MG_USERS_SECRET_KEY=SECRET)
    row, user = str(uuid.uuid4()), str(uuid.uuid4())
    tokens = [one_time_tokens.derive("password_reset", row, user) for _ in range(2)]
    assert tokens[0] == tokens[1]
    others = {
        one_time_tokens.derive("verification", row, user).partition("_")[2],
        one_time_tokens.derive("password_reset", str(uuid.uuid4()), user).partition("_")[2],
        one_time_tokens.derive("password_reset", row, str(uuid.uuid4())).partition("_")[2],
    }
    configure(MG_USERS_SECRET_KEY="t" * 32)
    others.add(one_time_tokens.derive("password_reset", row, user).partition("_")[2])
    assert len(others) == 4
    assert tokens[0].partition("_")[2] not in others


@pytest.mark.parametrize(("purpose", "prefix"), [("password_reset", "mgreset_"), ("verification", "mgverify_")])
def test_a_token_is_a_recognisable_prefix_and_256_bits(
    configure: Callable[..., None], purpose: Purpose, prefix: str
) -> None:
    configure(MG_USERS_SECRET_KEY=SECRET)
    token = one_time_tokens.derive(purpose, "row", "user")
    assert token.startswith(prefix)
    assert len(base64.urlsafe_b64decode(token.removeprefix(prefix) + "=")) == 32


def test_the_database_gets_a_sha_256() -> None:
    assert one_time_tokens.digest("token") == hashlib.sha256(b"token").digest()


def test_lifetimes() -> None:
    assert one_time_tokens.LIFETIMES["password_reset"] == 30 * 60
    assert one_time_tokens.LIFETIMES["verification"] == 24 * 3600


@pytest.mark.parametrize("secret", ["", "s" * 31])
def test_a_short_secret_is_named(configure: Callable[..., None], secret: str) -> None:
    configure(MG_USERS_SECRET_KEY=secret)
    with pytest.raises(WrongSettings, match=r"^MG_USERS_SECRET_KEY: "):
        one_time_tokens.derive("password_reset", "row", "user")
