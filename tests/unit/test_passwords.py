"""What passwords are accepted, how they are hashed and checked (decisions 26, 27)."""

import unicodedata
from collections.abc import Callable

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from users.errors import BadRequest
from users.rules import passwords
from users.settings import WrongSettings


def refusal(password: str, username: str = "ada", email: str = "a@example.com") -> tuple[str, str]:
    with pytest.raises(BadRequest) as caught:
        passwords.check_password_rules(password, username=username, email=email)
    return caught.value.code, caught.value.message


def accept(password: str, username: str = "ada", email: str = "a@example.com") -> None:
    passwords.check_password_rules(password, username=username, email=email)


@pytest.mark.parametrize(
    "password", ["changeMe123", "xkqzwvrt", "ÄÖÜäöüßẞ", "x" * 7 + "é", "8 spaces", "q" * 1023 + "z"]
)
def test_accepted(password: str) -> None:
    accept(password)


def test_refused() -> None:
    assert refusal("") == ("missing_password", "missing password")
    assert refusal("xkqzwvr") == ("weak_password", "password does not meet the requirements")
    assert refusal("xkqzwvr\nxkqzwvr")[0] == "weak_password"
    assert refusal("xkqzwvrt\n")[0] == "weak_password"
    assert refusal("q" * 1025) == ("password_too_long", "password is longer than 1024 bytes")
    assert refusal("é" * 513)[0] == "password_too_long"
    assert refusal("password1") == ("common_password", "password is too common")
    assert refusal("PASSWORD1")[0] == "common_password"


def test_the_minimum_counts_characters_not_bytes() -> None:
    assert refusal("é" * 7)[0] == "weak_password"
    accept("é" * 8)


def test_the_regex_is_re2_and_the_operators(configure: Callable[..., None]) -> None:
    configure(MG_USERS_PASS_REGEX=r"^[a-z]{4}\pN$")
    accept("wxyz9")
    assert refusal("wxyz9\n")[0] == "weak_password", "$ is the end of the text"
    assert refusal("wxyz")[0] == "weak_password"


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", r"(a)\1", "[z-a]"])
def test_a_bad_regex_is_named(configure: Callable[..., None], pattern: str) -> None:
    configure(MG_USERS_PASS_REGEX=pattern)
    with pytest.raises(WrongSettings, match=r"^MG_USERS_PASS_REGEX: "):
        passwords.password_pattern()


def test_the_common_check_can_be_turned_off(configure: Callable[..., None]) -> None:
    configure(MG_USERS_PASS_COMMON_CHECK="false")
    accept("password1")


@pytest.mark.parametrize(
    ("password", "username", "email"),
    [
        ("lovelace-xkqz", "lovelace", "a@b.c"),
        ("xx-LoveLace-xkqz", "lovelace", "a@b.c"),
        ("xx-lovelace-xkqz", "LOVELACE", "a@b.c"),
        ("xx-countess-xkqz", "ada", "Countess@b.c"),
        ("1ada1ada1", "ada1", "a@b.c"),
    ],
)
def test_a_password_tells_no_name(password: str, username: str, email: str) -> None:
    assert refusal(password, username, email) == (
        "password_contains_name",
        "password contains the username or the e-mail's name",
    )


def test_short_names_and_domains_occur_by_chance() -> None:
    accept("ada-xkqz-example", "ada", "xkq@example.com")


def test_a_hash_is_argon2id_with_the_parameters_of_the_decision() -> None:
    first, second = passwords.hash_password("xkqzwvrt"), passwords.hash_password("xkqzwvrt")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert passwords.verify_password(first, "xkqzwvrt")
    assert passwords.verify_password(second, "xkqzwvrt")
    assert not passwords.is_bcrypt(first)


@settings(max_examples=5)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_a_hash_verifies_its_password_in_any_normal_form_and_no_other(password: str, other: str) -> None:
    stored = passwords.hash_password(password)
    for form in ("NFC", "NFD"):
        assert passwords.verify_password(stored, unicodedata.normalize(form, password))
    same = unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", password)
    assert passwords.verify_password(stored, other) is same


def test_an_empty_or_unreadable_hash_verifies_nothing() -> None:
    for stored in ("", "x", "$argon2id$broken"):
        for password in ("", "xkqzwvrt"):
            assert not passwords.verify_password(stored, password)


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
def test_bcrypt_takes_the_bytes_as_typed_up_to_72(prefix: bytes) -> None:
    stored = bcrypt.hashpw(("é" * 36).encode(), bcrypt.gensalt(4, prefix)).decode()
    assert passwords.is_bcrypt(stored)
    assert passwords.verify_password(stored, "é" * 36)
    assert passwords.verify_password(stored, "é" * 36 + "more")
    assert not passwords.verify_password(stored, unicodedata.normalize("NFD", "é" * 36))
    assert not passwords.verify_password(stored, "é" * 35)
