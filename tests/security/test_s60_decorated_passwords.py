"""S60: a common word with the usual decorations is a common password. A passphrase and a random one are not."""

import random
import string

import pytest

from tests.people import NEW_PASSWORD, mail_token, person
from tests.service import Service, registration
from users.rules.common_passwords import is_common

# Passwords in the documentation's registrations, and in scripts of its readers (decisions 27).
DOCUMENTED = "changeMe123"

DECORATED = [
    "Password2020!", "P@ssw0rd!!1", "Qwerty123456!", "pAsSwOrD", "PASSWORD!", "!!password!!", "2019password2020",
    "Summer2026!", "$ummer2026", "5umm3r99", "Dr4g0n!!", "m0nk3y_2024", "1l0vey0u!", "!loveyou2", "b4s3b4ll&3",
    "drowssap2020", "DRAGONdragon", "monkeymonkey1", "lovelovelove", "Password1Password1", "Welcome@123", "Adm1n!2024",
    "password1234567890!", "Password!!!!!!!!!!!!", "  password  ", "12345678!", "1q2w3e4r!", "abc12345!",
    "Ｐａｓｓｗｏｒｄ２０２０", "pässwörd2020", "changeme123", "ChangeMe123!", "changeMe124", "Love2020!!",
]  # fmt: skip

GOOD = [
    DOCUMENTED, NEW_PASSWORD, "correct horse 7 battery", "correcthorsebatterystaple", "an operator chose this",
    "a-longer-Passphrase-7", "password manager of mine", "summer rain 2020", "xkqzwvrt", "Tr4-kuz-Bol-97",
    "q7Wv!zp2Lm#x", "another password 8", "is it this 1 password", "9f86d081884c7d65", "love3910582746172",
    "summer-winter-1987-xkq",
    "         ", "ßßßßßßßß", "😀😃😄😁😆😅😂🤣", "xq" * 512, "Владимирский 1987 централ",
]  # fmt: skip


@pytest.mark.parametrize("password", DECORATED)
def test_s60_a_decorated_word(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize("password", GOOD)
def test_s60_what_is_none(password: str) -> None:
    assert not is_common(password)


def test_s60_random_passwords_pass() -> None:
    """Passwords of 12 characters, as password managers make them, from fixed random numbers."""
    numbers = random.Random(60)
    for alphabet in (string.ascii_letters + string.digits, string.ascii_letters + string.digits + "!@#$%&*"):
        made = ("".join(numbers.choices(alphabet, k=12)) for _ in range(10_000))
        assert [password for password in made if is_common(password)] == []


def test_s60_passphrases_of_common_words_pass() -> None:
    numbers = random.Random(61)
    words = ["dragon", "monkey", "summer", "horse", "winter", "tiger", "purple", "orange", "silver", "garden"]
    for separator in (" ", "-", ".", ""):
        for _ in range(500):
            assert not is_common(separator.join(numbers.sample(words, 4)))


def test_s60_wherever_a_password_is_chosen(service: Service) -> None:
    ada = person(service)
    refusal = (400, "common_password")
    body = registration(credentials={"secret": "Password2020!"})
    assert service.call("register_user", body).error == refusal
    change = {"old_secret": ada.secret, "new_secret": "P@ssw0rd!!1"}
    assert service.call("update_user_secret", change, token=ada.token).error == refusal
    token = mail_token(service, ada, "password_reset")
    new = {"password": "Qwerty123456!", "confirm_password": "Qwerty123456!"}
    assert service.call("reset_password", new, token=token).error == refusal


def test_s60_the_documented_registration_works(service: Service) -> None:
    assert service.call("register_user", registration(credentials={"secret": DOCUMENTED})).status == 201


def test_s60_it_is_turned_off_with_the_rest(service: Service) -> None:
    with service.configured(MG_USERS_PASS_COMMON_CHECK="false"):
        body = registration(credentials={"secret": "Password2020!"})
        assert service.call("register_user", body).status == 201


def test_s60_what_somebody_has_already_goes_on_working(service: Service) -> None:
    """The rule applies to new passwords. A login does not check it."""
    with service.configured(MG_USERS_PASS_COMMON_CHECK="false"):
        user = service.register(credentials={"secret": "Password2020!"})
    assert service.log_in(user["email"], "Password2020!")
