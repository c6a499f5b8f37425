"""S15–S19, S21: which passwords are accepted, and how they are stored."""

import unicodedata
import uuid

import bcrypt
import pytest
from nacl import bindings

from tests.people import NEW_PASSWORD, mail_token, person
from tests.service import PASSWORD, Answer, Service, handler, lambda_context, registration
from users.rules import passwords


def register(service: Service, secret: str) -> tuple[str, Answer]:
    body = registration(credentials={"secret": secret})
    return body["email"], service.call("register_user", body)


def log_in(service: Service, email: str, secret: str) -> int:
    return service.call("issue_token", {"identity": email, "secret": secret}).status


def test_s15_below_the_rule(service: Service) -> None:
    for secret in ("", "xkqzwvr"):
        assert register(service, secret)[1].status == 400


@pytest.mark.parametrize("length", [64, 128, 1024])
def test_s15_long_ones(service: Service, length: int) -> None:
    secret = "xq" * (length // 2)
    email, answer = register(service, secret)
    assert answer.status == 201
    assert log_in(service, email, secret) == 201
    assert log_in(service, email, secret[:-1]) == 401


def test_s15_above_1024_bytes_nothing_is_hashed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[object] = []
    monkeypatch.setattr(bindings, "crypto_pwhash_str_alg", lambda *arguments: hashed.append(arguments))
    monkeypatch.setattr(bindings, "crypto_pwhash_str_verify", lambda *arguments: hashed.append(arguments))
    email, answer = register(service, "é" * 513)
    assert answer.error == (400, "password_too_long")
    assert log_in(service, email, "é" * 513) == 400
    assert hashed == []


def test_s15_what_differs_after_byte_72_differs(service: Service) -> None:
    start = "xq" * 36
    email, answer = register(service, start + "a")
    assert answer.status == 201
    assert (log_in(service, email, start + "a"), log_in(service, email, start + "b")) == (201, 401)
    assert log_in(service, email, start) == 401


@pytest.mark.parametrize(
    "secret", ["ßßßßßßßß", "         ", "😀😃😄😁😆😅😂🤣", "only lower case words", "\ttabs\tand spaces "]
)
def test_s16_there_are_no_rules_of_composition(service: Service, secret: str) -> None:
    email, answer = register(service, secret)
    assert answer.status == 201, answer.text
    assert log_in(service, email, secret) == 201


@pytest.mark.parametrize(("typed", "later"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_s16_composed_and_decomposed_are_the_same(service: Service, typed: str, later: str) -> None:
    email, answer = register(service, unicodedata.normalize(typed, "pässwörd é"))  # type: ignore[arg-type]
    assert answer.status == 201
    assert log_in(service, email, unicodedata.normalize(later, "pässwörd é")) == 201  # type: ignore[arg-type]


def test_s16_nothing_is_trimmed(service: Service) -> None:
    email, answer = register(service, "  xkqzwvrt  ")
    assert answer.status == 201
    assert (log_in(service, email, "xkqzwvrt"), log_in(service, email, "  xkqzwvrt  ")) == (401, 201)


@pytest.mark.parametrize("secret", ["password1", "12345678", "QWERTYUIOP", "iloveyou"])
def test_s17_very_common_ones(service: Service, secret: str) -> None:
    answer = register(service, secret)[1]
    assert answer.error == (400, "common_password")
    assert answer.json["message"] == "password is too common"


def test_s17_ones_that_hold_a_name(service: Service) -> None:
    body = registration()
    for name in (body["credentials"]["username"], body["email"].partition("@")[0].upper()):
        body["credentials"]["secret"] = f"xx {name} xx"
        assert service.call("register_user", body).error == (400, "password_contains_name")


@pytest.mark.parametrize("typed", ["McCarthy", "mccarthy", "MCCARTHY", "mcCarthy"])
@pytest.mark.parametrize("name", ["username", "email"])
def test_s17_ones_that_hold_a_name_in_other_letters(service: Service, name: str, typed: str) -> None:
    mixed = f"McCarthy{uuid.uuid4().hex[:8]}"
    named = {"username": mixed} if name == "username" else {}
    secret = f"xx {mixed.replace('McCarthy', typed)} xx"
    body = registration(credentials={"secret": secret, **named})
    if name == "email":
        body["email"] = f"{mixed}@example.com"
    assert service.call("register_user", body).error == (400, "password_contains_name")


@pytest.mark.parametrize("secret", ["Password1", "PASSWORD1", "qWERTYUIOP", "ILoveYou"])
def test_s17_very_common_ones_in_other_letters(service: Service, secret: str) -> None:
    assert register(service, secret)[1].error == (400, "common_password")


def test_s18_stored_hashes(own_service: Service) -> None:
    own_service.register()
    own_service.administrator()
    handler("bootstrap")({}, lambda_context())
    hashes = [row["secret"] for row in own_service.execute("SELECT secret FROM users")]
    assert all(stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for stored in hashes)
    assert len(hashes) == len(set(hashes))


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
def test_s19_a_bcrypt_hash_logs_in_and_is_argon2id_afterwards(service: Service, prefix: bytes) -> None:
    user = service.register()
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, prefix)).decode()
    service.execute("UPDATE users SET secret = %s WHERE id = %s", stored, user["id"])
    assert service.log_in(user["email"])
    (row,) = service.execute("SELECT secret FROM users WHERE id = %s", user["id"])
    assert row["secret"].startswith("$argon2id$")


@pytest.mark.parametrize("way", ["by a reset", "by other means"])
def test_s19_a_password_change_meanwhile_is_not_overwritten(
    service: Service, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The login has verified the bcrypt hash, and is about to replace it."""
    ada, real = person(service), passwords.hash_password
    stored = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4, b"2a")).decode()
    service.execute("UPDATE users SET secret = %s WHERE id = %s", stored, ada.id)

    def change_then_hash(password: str) -> str:
        monkeypatch.setattr(passwords, "hash_password", real)
        if way == "by a reset":
            body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
            token = mail_token(service, ada, "password_reset")
            assert service.call("reset_password", body, token=token).status == 201
        else:
            service.execute("UPDATE users SET secret = %s WHERE id = %s", real(NEW_PASSWORD), ada.id)
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", change_then_hash)
    log_in(service, ada.email, PASSWORD)
    assert log_in(service, ada.email, NEW_PASSWORD) == 201
    assert log_in(service, ada.email, PASSWORD) == 401


def test_s21_no_default_password_in_a_deployed_stack(own_service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_SAM_LOCAL")
    for password in ("", "12345678"):
        monkeypatch.setenv("MG_USERS_ADMIN_PASSWORD", password)
        from tests.service import forget

        forget()
        with pytest.raises(Exception, match="MG_USERS_ADMIN_PASSWORD"):
            handler("bootstrap")({}, lambda_context())
    assert own_service.execute("SELECT id FROM users") == []
