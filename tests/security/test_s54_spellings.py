"""S54 One spelling of an address, no unseen characters, http(s) pictures, reserved usernames."""

import unicodedata
import uuid
from typing import Any

import pytest

from tests.people import Person, administrator, deliver, log_in, mails, person, row, token_of_kind
from tests.service import PASSWORD, Service, registration

DOMAINS = [
    "example.com", "EXAMPLE.com", "ｅxample.com", "𝐞xample.com", "ⓔxample.com", "ℯxample.com", "Ｅxample.com",
    "example。com", "example．com",
]  # fmt: skip
UNSEEN = ["Ada\nLovelace", "Ada\0", "\u202eadA", "A\u200bda", "Ada\x85", "\ue000", "Ada\u2028"]
PICTURES = ["javascript:alert(1)", "JAVASCRIPT:alert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:x"]


def spelled(who: Person, domain: str) -> str:
    return f"{who.email.partition('@')[0]}@{domain}"


def fresh_name(reserved: str) -> dict[str, Any]:
    return registration(credentials={"username": reserved})


# ------------------------------------------------------------------------------------------------ addresses


def test_s54_nine_spellings_are_one_account_and_one_mail(service: Service) -> None:
    local = uuid.uuid4().hex
    answers = [service.call("register_user", registration(email=f"{local}@{domain}")) for domain in DOMAINS]
    assert [answer.status for answer in answers] == [201] + [409] * 8
    assert {answer.error for answer in answers[1:]} == {(409, "email_taken")}
    user = answers[0].json
    assert user["email"] == f"{local}@example.com"
    assert mails(service, user["id"]) == [("verification", f"{local}@example.com")]


@pytest.mark.parametrize("domain", DOMAINS)
def test_s54_every_spelling_logs_in(service: Service, domain: str) -> None:
    ada = person(service)
    assert log_in(service, spelled(ada, domain)).status == 201
    assert log_in(service, spelled(ada, domain).upper()).status == 201


def test_s54_the_local_part_is_in_one_form(service: Service) -> None:
    mark = uuid.uuid4().hex
    apart = unicodedata.normalize("NFD", f"Jörg{mark}@bücher.example")
    user = service.register(email=apart)
    assert user["email"] == f"Jörg{mark}@xn--bcher-kva.example"
    for identity in (apart, user["email"], f"jörg{mark}@BÜCHER.example"):
        assert log_in(service, identity).status == 201


def test_s54_attempts_with_several_spellings_are_counted_as_one(service: Service) -> None:
    """The count is the same with and without such an account."""
    for who in (person(service).email, f"{uuid.uuid4().hex}@example.com"):
        local = who.partition("@")[0]
        statuses = [log_in(service, f"{local}@{domain}", "wrong", address="192.0.2.9").status for domain in DOMAINS[:6]]
        assert statuses == [401] * 5 + [429]
        service.execute("DELETE FROM users_throttle")


def test_s54_wishes_with_several_spellings_are_one_mail(service: Service) -> None:
    ada = person(service)
    for domain in reversed(DOMAINS):
        assert service.call("request_password_reset", {"email": spelled(ada, domain)}).status == 201
    deliver("reset_request")
    assert [name for name, _ in mails(service, ada.id)].count("password_reset") == 1


def test_s54_a_new_address_has_one_spelling(service: Service) -> None:
    ada, mark = person(service), uuid.uuid4().hex

    def change(email: str) -> Any:
        return service.call("update_user_email", {"email": email}, token=ada.token, user_id=ada.id)

    assert change(f"{mark}@ｅxample.com").json["email"] == f"{mark}@example.com"
    assert change(f"{mark}@EXAMPLE.com").error == (400, "same_email")
    bob = person(service)
    assert change(spelled(bob, "𝐞xample.com")).error == (409, "email_taken")


def test_s54_a_database_that_was_taken_over_keeps_its_spellings(service: Service) -> None:
    """The account logs in and resets its password as before, beside the account with the canonical spelling."""
    old, new = person(service), person(service)
    theirs = f"{new.email.partition('@')[0]}@ｅxample.com"
    service.execute("UPDATE users SET email = %s WHERE id = %s", theirs, old.id)
    from users.peers.jwt import unverified_claims

    for identity, who in ((theirs, old), (theirs.upper(), old), (new.email, new), (spelled(new, "EXAMPLE.com"), new)):
        token = log_in(service, identity).json["access_token"]
        assert unverified_claims(token)["sub"] == who.id
    service.call("request_password_reset", {"email": theirs})
    deliver("reset_request")
    assert [name for name, _ in mails(service, old.id)].count("password_reset") == 1
    same = service.call("update_user_email", {"email": theirs}, token=old.token, user_id=old.id)
    assert same.error == (400, "same_email")


@pytest.mark.parametrize("email", ['"a b"@x.org', "a@[192.0.2.1]", "Ada <a@x.org>", "a@x.org\u202e", "a\u200b@x.org"])
def test_s54_what_is_no_bare_address(service: Service, email: str) -> None:
    assert service.call("register_user", registration(email=email)).error == (400, "invalid_email")


# ------------------------------------------------------------------------------------------------ names and pictures


@pytest.mark.parametrize("field", ["first_name", "last_name"])
@pytest.mark.parametrize("name", UNSEEN)
def test_s54_names_without_unseen_characters(service: Service, field: str, name: str) -> None:
    refusal = (400, "malformed_body") if "\0" in name else (400, f"invalid_{field}")
    assert service.call("register_user", registration(**{field: name})).error == refusal
    ada = person(service)
    assert service.call("update_user", {field: name}, token=ada.token, user_id=ada.id).error == refusal
    assert row(service, ada.id)[field] == {"first_name": "Ada", "last_name": "Lovelace"}[field]


def test_s54_a_name_that_is_there_already_stands_in_nobodys_way(service: Service) -> None:
    """An SDK sends the whole user back."""
    ada = person(service)
    service.execute("UPDATE users SET first_name = %s WHERE id = %s", "علی\u200cرضا", ada.id)
    whole = service.call("view_profile", token=ada.token).json
    answer = service.call("update_user", whole | {"metadata": {"a": 1}}, token=ada.token, user_id=ada.id)
    assert (answer.status, answer.json["first_name"]) == (200, "علی\u200cرضا")


@pytest.mark.parametrize("picture", PICTURES)
def test_s54_pictures_are_http_or_https(service: Service, picture: str) -> None:
    refusal = (400, "invalid_profile_picture")
    assert service.call("register_user", registration(profile_picture=picture)).error == refusal
    ada = person(service)
    for operation in ("update_user", "update_profile_picture"):
        body = {"profile_picture": picture}
        assert service.call(operation, body, token=ada.token, user_id=ada.id).error == refusal
    service.execute("UPDATE users SET profile_picture = %s WHERE id = %s", picture, ada.id)
    assert service.call("view_profile", token=ada.token).json["profile_picture"] == picture
    answer = service.call("update_user", {"first_name": "Grace"}, token=ada.token, user_id=ada.id)
    assert answer.json["profile_picture"] == picture


# ------------------------------------------------------------------------------------------------ reserved usernames


@pytest.mark.parametrize(
    "username", ["root", "Root", "ROOT", "ro_ot", "support-", "Post-Master", "no-reply", "noreply"]
)
def test_s54_reserved_usernames_are_refused(service: Service, username: str) -> None:
    ada = person(service)
    refusal = (400, "reserved_username")
    assert service.call("register_user", fresh_name(username)).error == refusal
    assert service.call("register_user", fresh_name(username), token=ada.token).error == refusal
    change = service.call("update_username", {"username": username}, token=ada.token, user_id=ada.id)
    assert change.error == refusal
    assert row(service, ada.id)["username"] == ada.username


@pytest.mark.parametrize("username", ["grant", "rooted", "supporter"])
def test_s54_other_usernames_are_not(service: Service, username: str) -> None:
    ada = person(service)
    answer = service.call("update_username", {"username": username}, token=ada.token, user_id=ada.id)
    assert answer.status == 200
    service.execute("UPDATE users SET username = %s WHERE id = %s", ada.username, ada.id)


def test_s54_an_administrator_gives_them(own_service: Service) -> None:
    boss, ada = administrator(own_service), person(own_service)
    assert own_service.call("register_user", fresh_name("support"), token=boss.token).status == 201
    pat = token_of_kind(own_service, boss.id, "pat")
    assert own_service.call("register_user", fresh_name("abuse"), token=pat).error == (400, "reserved_username")
    change = {"username": "security"}
    assert own_service.call("update_username", change, token=boss.token, user_id=ada.id).status == 200
    own = {"username": "Security"}  # its present name
    assert own_service.call("update_username", own, token=ada.token, user_id=ada.id).status == 200


def test_s54_where_only_administrators_register(own_service: Service) -> None:
    boss = administrator(own_service)
    with own_service.configured(MG_USERS_ALLOW_SELF_REGISTER="false"):
        assert own_service.call("register_user", fresh_name("support"), token=boss.token).status == 201


def test_s54_the_list_is_the_operators(own_service: Service) -> None:
    with own_service.configured(MG_USERS_RESERVED_USERNAMES="Ops, the-boss"):
        assert own_service.call("register_user", fresh_name("theboss")).error == (400, "reserved_username")
        assert own_service.call("register_user", fresh_name("OPS")).error == (400, "reserved_username")
        assert own_service.call("register_user", fresh_name("root")).status == 201
    with own_service.configured(MG_USERS_RESERVED_USERNAMES="-"):
        assert own_service.call("register_user", fresh_name("ops")).status == 201


# ------------------------------------------------------------------------------------------------ other ways to set


def test_s54_the_first_administrator_has_the_one_spelling(own_service: Service) -> None:
    from background.setup.admin import ensure_administrator

    with own_service.configured(
        MG_USERS_ADMIN_EMAIL="Boss@ｅxample.com", MG_USERS_ADMIN_PASSWORD=PASSWORD, MG_USERS_ADMIN_USERNAME="root"
    ):
        assert ensure_administrator() == "made the administrator"
    (stored,) = own_service.execute("SELECT email, username FROM users")
    assert stored == {"email": "Boss@example.com", "username": "root"}
