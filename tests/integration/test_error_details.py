"""`details` of a 400 and a 415: every broken rule, its field, and the requirement (decisions 44)."""

import json
import uuid
from typing import Any

import pytest

from tests.people import Person, administrator, mail_token, person
from tests.service import Answer, Service, registration

NAME_CHECK = "password must not contain the username"
MAIL_NAME_CHECK = "password must not contain the part of the e-mail address before the @"


@pytest.fixture(scope="module")
def ada(shared_service: Service) -> Person:
    """Return an administrator that no test of this module changes."""
    with shared_service.configured():
        return administrator(shared_service)


def refused(answer: Answer, *details: tuple[str, str, str]) -> None:
    assert answer.error[0] == 400, answer.text
    assert answer.details == list(details)


def test_a_registration_hears_of_all_its_faults_at_once(service: Service) -> None:
    body = registration(email="nobody", credentials={"username": "_ada", "secret": "short"})
    answer = service.call("register_user", body)
    assert answer.refusal == {"message": "invalid username", "error": "invalid_username"}
    refused(
        answer,
        ("credentials.username", "invalid_username", "username must begin with a letter or a digit"),
        ("email", "invalid_email", "email must be one address, as ada@example.com"),
        ("credentials.secret", "weak_password", "password must have at least 8 characters"),
    )


def test_a_registration_with_nothing_right(service: Service) -> None:
    body = {
        "status": "deleted",
        "role": 1,
        "first_name": "x" * 255,
        "credentials": {"username": f"{'a' * 33}--ä"},
        "profile_picture": "javascript:x",
        "metadata": {"a": "x" * 65536},
        "tags": ["x" * 65] * 101,
    }
    answer = service.call("register_user", body)
    assert answer.refusal == {"message": "invalid status", "error": "invalid_status"}
    refused(
        answer,
        ("status", "invalid_status", "status must be enabled or disabled"),
        ("role", "invalid_role", "role must be user or admin"),
        ("first_name", "first_name_too_long", "first name is longer than 254 characters"),
        ("last_name", "missing_last_name", "missing last name"),
        ("credentials.username", "invalid_username", "username must have at most 32 characters"),
        ("credentials.username", "invalid_username", "username must have letters a to z, digits, _ and - only"),
        ("credentials.username", "invalid_username", "username must not have two _ or two - in a row"),
        ("email", "missing_email", "missing email"),
        ("credentials.secret", "missing_password", "missing password"),
        ("profile_picture", "invalid_profile_picture", "profile_picture must be an http or https URL"),
        ("metadata", "metadata_too_large", "metadata is larger than 65536 bytes"),
        ("tags", "too_many_tags", "there are more than 100 tags"),
        ("tags", "tag_too_long", "a tag is longer than 64 characters"),
    )


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("q", {("weak_password", "password must have at least 8 characters")}),
        (
            "line\nbreaks are no characters of .",
            {("weak_password", "password must match the pattern ^.{8,}$")},
        ),
        (
            "monkey1",
            {
                ("weak_password", "password must have at least 8 characters"),
                (
                    "common_password",
                    "password must not be a common password or word, even with digits and signs added",
                ),
            },
        ),
        (
            "counTESS-9-lovelace",
            {("password_contains_name", NAME_CHECK), ("password_contains_name", MAIL_NAME_CHECK)},
        ),
        ("a-LOVElace-b", {("password_contains_name", MAIL_NAME_CHECK)}),
    ],
)
def test_a_password_hears_which_of_its_rules_is_broken(
    service: Service, secret: str, expected: set[tuple[str, str]]
) -> None:
    body = registration(email="lovelace@example.com", credentials={"username": "countess", "secret": secret})
    answer = service.call("register_user", body)
    assert {(code, message) for _, code, message in answer.details} == expected
    assert {field for field, _, _ in answer.details} == {"credentials.secret"}


@pytest.mark.parametrize(
    ("pattern", "secret", "message"),
    [
        ("^.{8,10}$", "q" * 11, "password must have at most 10 characters"),
        ("[0-9]", "no digit at all", "password must match the pattern [0-9]"),
        ("^[a-z]{12,}$", "short", "password must match the pattern ^[a-z]{12,}$"),
    ],
)
def test_a_pattern_that_is_configured(service: Service, pattern: str, secret: str, message: str) -> None:
    with service.configured(MG_USERS_PASS_REGEX=pattern):
        answer = service.call("register_user", registration(credentials={"secret": secret}))
    refused(answer, ("credentials.secret", "weak_password", message))


def test_a_reserved_username_is_told_with_the_rest(service: Service) -> None:
    answer = service.call("register_user", registration(email="x", credentials={"username": "admin"}))
    assert answer.error == (400, "invalid_email")
    assert answer.details[1] == ("credentials.username", "reserved_username", "this username is reserved")


def test_a_privilege_is_refused_once_the_rules_are_kept(service: Service) -> None:
    assert service.call("register_user", registration(role="admin", email="x")).error == (400, "invalid_email")
    assert service.call("register_user", registration(role="admin")).error == (403, "not_administrator")


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"first_name": 5}, [("first_name", "first_name must be a string")]),
        (
            {"credentials": {"username": [], "secret": 1}, "tags": "a", "metadata": [], "created_at": "noon"},
            [
                ("credentials.username", "credentials.username must be a string"),
                ("credentials.secret", "credentials.secret must be a string"),
                ("tags", "tags must be an array"),
                ("metadata", "metadata must be an object"),
                ("created_at", "created_at must be a time, as 2026-01-31T12:00:00Z"),
            ],
        ),
        ({"tags": ["a", 1, 2], "credentials": "x"}, [
            ("credentials", "credentials must be an object"),
            ("tags.1", "tags.1 must be a string"),
        ]),
        (["a"], [("", "request body must be an object")]),
    ],
)  # fmt: skip
def test_a_wrong_type_is_named(service: Service, body: Any, details: list[tuple[str, str]]) -> None:
    answer = service.call("register_user", body)
    assert answer.refusal["message"] == "request body is not a valid JSON, expecting a valid JSON", "upstream's message"
    refused(answer, *((field, "malformed_body", message) for field, message in details))


@pytest.mark.parametrize("raw", ["", "{", '{"a": NaN}', "[" * 200, '{"a": 1e999}', '{"first_name": "\\u0000"}'])
def test_what_is_no_json_is_nobodys_field(service: Service, raw: str) -> None:
    answer = service.call("register_user", raw=raw)
    refused(answer, ("", "malformed_body", answer.refusal["message"]))


def test_another_content_type_hears_of_the_right_one(service: Service) -> None:
    answer = service.call("register_user", registration(), headers={"content-type": "text/plain"})
    assert answer.error == (415, "unsupported_content_type")
    assert answer.details == [
        ("Content-Type", "unsupported_content_type", "Content-Type must be application/json"),
    ]


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("limit=0", [("limit", "invalid_limit", "limit must be from 1 to 100")]),
        ("limit=many", [("limit", "invalid_query", "limit must be a whole number")]),
        ("offset=9223372036854775808", [("offset", "invalid_query", "offset is too large")]),
        ("email=a&email=b", [("email", "invalid_query", "email must be given once")]),
        ("metadata=[]", [("metadata", "invalid_query", "metadata must be a JSON object")]),
        ("offset=1&cursor=x", [("cursor", "invalid_cursor", "a cursor goes without an offset")]),
        ("cursor=x", [("cursor", "invalid_cursor", "invalid cursor")]),
        ("only_total=perhaps&verified=perhaps&limit=101&order=secret&dir=up&status=x&role=y&created_from=noon", [
            ("status", "invalid_status", "status must be one of enabled, disabled, deleted, all"),
            ("only_total", "invalid_query", "only_total must be true or false"),
            ("created_from", "invalid_query",
             "created_from must be a time, as 2026-01-31T12:00:00Z, where + is sent as %2B"),
            ("role", "invalid_role", "role must be one of user, admin, all"),
            ("verified", "invalid_query", "verified must be true or false"),
            ("limit", "invalid_limit", "limit must be from 1 to 100"),
            ("order", "invalid_order",
             "order must be one of updated_at, created_at, first_name, last_name, username, email"),
            ("dir", "invalid_direction", "dir must be asc or desc"),
        ]),
    ],
)  # fmt: skip
def test_the_parameters_of_a_list(
    service: Service, ada: Person, query: str, details: list[tuple[str, str, str]]
) -> None:
    refused(service.call("list_users", query=query, token=ada.token), *details)


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("", [("", "empty_search", "one of username, first_name, last_name, id must be given")]),
        ("username=a&id=b&limit=0", [
            ("username", "search_too_short", "search query must be at least 3 bytes"),
            ("id", "search_too_short", "search query must be at least 3 bytes"),
            ("limit", "invalid_limit", "limit must be from 1 to 100"),
        ]),
        ("first_name=a&first_name=b", [("first_name", "invalid_query", "first_name must be given once")]),
        ("username=ada&order=a&order=b&dir=c&dir=d&offset=1&cursor=x", [
            ("order", "invalid_query", "order must be given once"),
            ("dir", "invalid_query", "dir must be given once"),
            ("cursor", "invalid_cursor", "a cursor goes without an offset"),
        ]),
    ],
)  # fmt: skip
def test_the_parameters_of_a_search(
    service: Service, ada: Person, query: str, details: list[tuple[str, str, str]]
) -> None:
    refused(service.call("search_users", query=query, token=ada.token), *details)


def test_a_login_without_anything(service: Service) -> None:
    refused(
        service.call("issue_token", {"description": "x" * 256}),
        ("identity", "missing_identity", "missing username / email"),
        ("secret", "missing_password", "missing password"),
        ("description", "description_too_long", "description is longer than 255 characters"),
    )
    refused(
        service.call("issue_token", {"password": "p"}), ("username", "missing_identity", "missing username / email")
    )
    refused(service.call("issue_token", {"username": "u"}), ("password", "missing_password", "missing password"))


def test_an_update_hears_of_rules_that_need_the_stored_values_too(service: Service, ada: Person) -> None:
    body = {"first_name": "x" * 255, "last_name": "\u202e", "tags": ["x"] * 101, "profile_picture": "%zz"}
    refused(
        service.call("update_user", body, user_id=ada.id, token=ada.token),
        ("first_name", "first_name_too_long", "first name is longer than 254 characters"),
        ("profile_picture", "invalid_profile_picture", "profile_picture must be an http or https URL"),
        ("last_name", "invalid_last_name", "last name has control or format characters"),
        ("tags", "too_many_tags", "there are more than 100 tags"),
    )


def test_a_broken_rule_comes_before_the_account_and_a_dead_session_before_both(service: Service) -> None:
    """As before `details` existed: the request is validated first, unless the caller's session is invalid."""
    eve, bob = person(service), person(service)
    for user_id in (bob.id, str(uuid.uuid4())):
        answer = service.call("update_user", {"first_name": "x" * 255}, user_id=user_id, token=eve.token)
        assert answer.error == (400, "first_name_too_long")
        answer = service.call("update_profile_picture", {"profile_picture": "%zz"}, user_id=user_id, token=eve.token)
        assert answer.error == (400, "invalid_profile_picture")
    assert service.call("update_user", {}, user_id=bob.id, token=eve.token).error == (403, "forbidden")
    service.execute("UPDATE users SET status = 1 WHERE id = %s", eve.id)
    answer = service.call("update_user", {"first_name": "x" * 255}, user_id=eve.id, token=eve.token)
    assert answer.error == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("operation", "body", "detail"),
    [
        ("update_username", {"username": "-"}, ("username", "invalid_username")),
        ("update_user_email", {"email": "x"}, ("email", "invalid_email")),
        ("update_user_tags", {"tags": ["x" * 65]}, ("tags", "tag_too_long")),
        ("revoke_refresh_token", {}, ("token_id", "missing_id")),
        ("request_password_reset", {"email": "x" * 255}, ("email", "email_too_long")),
        ("update_user_secret", {"old_secret": "x", "new_secret": "y"}, ("new_secret", "weak_password")),
    ],
)
def test_the_fields_of_other_operations(
    service: Service, ada: Person, operation: str, body: dict[str, Any], detail: tuple[str, str]
) -> None:
    answer = service.call(operation, body, user_id=ada.id, token=ada.token)
    assert answer.error == (400, detail[1])
    assert [each[:2] for each in answer.details] == [detail]


def test_a_new_password_without_the_old_one(service: Service, ada: Person) -> None:
    answer = service.call("update_user_secret", {"new_secret": "q"}, token=ada.token)
    refused(
        answer,
        ("old_secret", "missing_password", "missing password"),
        ("new_secret", "weak_password", "password must have at least 8 characters"),
    )


def test_a_reset(service: Service, ada: Person) -> None:
    token = mail_token(service, ada, "password_reset")

    def reset(password: str, again: str) -> Answer:
        body = {"token": token, "password": password, "confirm_password": again}
        return service.call("reset_password", body, method="PUT")

    refused(
        reset("short", "other"),
        ("confirm_password", "passwords_differ", "confirm_password must be the same as password"),
        ("password", "weak_password", "password must have at least 8 characters"),
    )
    refused(reset(f"my {ada.username}", f"my {ada.username}"), *(
        ("password", "password_contains_name", f"password must not contain {what}")
        for what in ("the username", "the part of the e-mail address before the @")
    ))  # fmt: skip
    token = "mgreset_unknown"
    strong = "another 9 staple horse"
    refused(reset(strong, strong), ("token", "invalid_verification", "invalid verification"))


def test_other_errors_have_no_details(service: Service, ada: Person) -> None:
    assert set(service.call("list_users", token=person(service).token).json) == {"message", "error"}
    assert set(service.call("issue_token", {"identity": ada.email, "secret": "no"}).json) == {"message", "error"}
    taken = service.call("register_user", registration(email=ada.email))
    assert json.loads(taken.text).keys() == {"message", "error"}
