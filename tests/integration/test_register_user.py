"""POST /users (contract §1.6.1; decisions 9, 11, 13, 19, 27)."""

import json
import re
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.service import PASSWORD, Service, registration

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def outbox(service: Service, user_id: str) -> list[dict[str, Any]]:
    return service.execute("SELECT * FROM users_outbox WHERE user_id = %s ORDER BY seq", user_id)


def test_an_answer_key_by_key(service: Service) -> None:
    body = registration()
    before = datetime.now(UTC)
    answer = service.call("register_user", body)
    assert answer.status == 201
    user = answer.json
    assert UUID4.fullmatch(user["id"])
    assert answer.headers["Location"] == f"/users/{user['id']}"
    assert answer.headers["Content-Type"] == "application/json"
    assert before <= datetime.fromisoformat(user["created_at"]) <= datetime.now(UTC)
    assert answer.text == (
        f'{{"id":"{user["id"]}","first_name":"Ada","last_name":"Lovelace","status":"enabled","role":"user",'
        f'"credentials":{{"username":"{body["credentials"]["username"]}"}},"email":"{body["email"]}",'
        f'"created_at":"{user["created_at"]}","updated_at":"0001-01-01T00:00:00Z",'
        '"verified_at":"0001-01-01T00:00:00Z"}\n'
    )


def test_everything_that_a_client_may_say(service: Service) -> None:
    body = registration(
        tags=["b", "a", "b"],
        metadata={"z": 1, "a": {"b": [1, 1.5, "x", None, True]}, "é": "😀"},
        private_metadata={"p": "q"},
        profile_picture="https://example.com/p.png",
        status="enabled",
        role="user",
    )
    user = service.call("register_user", body).json
    for key in ("tags", "metadata", "private_metadata", "profile_picture", "status", "role", "email", "first_name"):
        assert user[key] == body[key]


def test_what_a_client_may_not_choose_is_ignored(service: Service) -> None:
    chosen = {
        "id": str(uuid.uuid4()),
        "permissions": ["all"],
        "auth_provider": "google",
        "created_at": "2001-01-01T00:00:00Z",
        "updated_at": "2001-01-01T00:00:00Z",
        "updated_by": "me",
        "verified_at": "2001-01-01T00:00:00Z",
    }
    user = service.call("register_user", registration(**chosen, nonsense={"a": 1})).json
    assert user["id"] != chosen["id"]
    assert not {"permissions", "auth_provider", "updated_by", "nonsense"} & set(user)
    assert (user["updated_at"], user["verified_at"]) == ("0001-01-01T00:00:00Z",) * 2
    assert not user["created_at"].startswith("2001")


def test_what_is_stored(service: Service) -> None:
    user = service.register(metadata={"a": 1})
    (row,) = service.execute("SELECT * FROM users WHERE id = %s", user["id"])
    assert row["secret"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (row["metadata"], row["private_metadata"], row["tags"]) == ({"a": 1}, {}, None)
    assert (row["profile_picture"], row["verified_at"], row["disabled_at"], row["case_conflict"]) == (
        *(None, None, None),
        False,
    )
    assert row["secret_changed_at"] == row["created_at"] == datetime.fromisoformat(user["created_at"])


@pytest.mark.parametrize("body", ["{}", "null"])
def test_a_bearer_of_a_browser_without_a_session_is_ignored(service: Service, body: str) -> None:
    answer = service.call("register_user", raw=body, headers={"authorization": "Bearer undefined"})
    assert answer.error == (400, "missing_first_name")
    assert service.call("register_user", registration(), token="undefined").status == 201


def test_keys_in_any_letter_case(service: Service) -> None:
    body = registration()
    odd = {
        "FIRST_NAME": "Ada",
        "Last_Name": "L",
        "EMail": body["email"],
        "Credentials": {"USERNAME": body["credentials"]["username"], "Secret": PASSWORD},
    }
    assert service.call("register_user", raw=json.dumps(odd) + " trailing").status == 201


LONG = "x" * 1025
# The order of rules in the contract: each row also breaks the rules of the rows below it.
VALIDATION: list[tuple[dict[str, Any], str, str]] = [
    ({"first_name": LONG}, "invalid_name_size", "invalid name size"),
    ({"last_name": LONG}, "invalid_name_size", "invalid name size"),
    ({"first_name": ""}, "missing_first_name", "missing first name"),
    ({"last_name": ""}, "missing_last_name", "missing last name"),
    ({"username": ""}, "missing_username", "missing username"),
    ({"username": "_a"}, "invalid_username", "invalid username"),
    ({"username": "a--b"}, "invalid_username", "invalid username"),
    ({"email": ""}, "missing_email", "missing email"),
    ({"email": "nobody"}, "invalid_email", "invalid email"),
    ({"secret": ""}, "missing_password", "missing password"),
    ({"secret": "short"}, "weak_password", "password does not meet the requirements"),
    ({"profile_picture": ":foo"}, "invalid_profile_picture", "invalid profile picture url"),
]


def broken(*changes: dict[str, Any]) -> dict[str, Any]:
    """Return a registration with all changes. The first change of a field wins."""
    body = registration()
    for change in reversed(changes):
        for key, value in change.items():
            (body["credentials"] if key in {"username", "secret"} else body)[key] = value
    return body


@pytest.mark.parametrize("row", range(len(VALIDATION)))
def test_the_rules_one_by_one_and_in_their_order(service: Service, row: int) -> None:
    change, code, message = VALIDATION[row]
    for body in (broken(change), broken(*(later[0] for later in VALIDATION[row:]))):
        answer = service.call("register_user", body)
        assert answer.status == 400
        assert answer.refusal == {"message": message, "error": code}


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"first_name": "x" * 255}, "first_name_too_long", "first name is longer than 254 characters"),
        ({"last_name": "x" * 255}, "last_name_too_long", "last name is longer than 254 characters"),
        ({"email": "x" * 251 + "@b.c"}, "email_too_long", "email is longer than 254 characters"),
        ({"secret": "q" * 1025}, "password_too_long", "password is longer than 1024 bytes"),
        ({"secret": "password1"}, "common_password", "password is too common"),
        (
            {"username": "lovelace-x", "secret": "my-LOVELACE-X-1"},
            "password_contains_name",
            "password contains the username or the e-mail's name",
        ),
    ],
)
def test_our_own_rules(service: Service, change: dict[str, Any], code: str, message: str) -> None:
    answer = service.call("register_user", broken(change))
    assert (answer.status, answer.refusal) == (400, {"message": message, "error": code})


def test_fields_at_their_limits(service: Service) -> None:
    name = uuid.uuid4().hex
    body = registration(
        first_name="é" * 254,
        last_name="x" * 254,
        email=name + "x" * (254 - 36) + "@b.c",
        credentials={"username": name, "secret": "q" * 1023 + "z"},
    )
    answer = service.call("register_user", body)
    assert answer.status == 201, answer.text
    assert service.log_in(body["email"], "q" * 1023 + "z")


@pytest.mark.parametrize("status", [None, 0, True, "all", "deleted", "Enabled", "x", [], {}])
def test_bad_statuses_come_before_the_rules(service: Service, status: Any) -> None:
    answer = service.call("register_user", {"status": status})
    assert (answer.status, answer.refusal) == (400, {"message": "invalid status", "error": "invalid_status"})


@pytest.mark.parametrize("role", [None, 0, True, "all", "Admin", "x", [], {}])
def test_bad_roles_come_before_the_rules(service: Service, role: Any) -> None:
    answer = service.call("register_user", {"role": role})
    assert (answer.status, answer.refusal) == (400, {"message": "invalid client role", "error": "invalid_role"})


@pytest.mark.parametrize("key", ["status", "role"])
def test_an_empty_status_or_role_is_the_default(service: Service, key: str) -> None:
    assert service.call("register_user", registration(**{key: ""})).status == 201


@pytest.mark.parametrize("changes", [{"created_at": "yesterday"}, {"permissions": "x"}, {"id": 7}, {"tags": [1]}])
def test_types_are_looked_at_also_of_what_is_ignored(service: Service, changes: dict[str, Any]) -> None:
    assert service.call("register_user", registration(**changes)).error == (400, "malformed_body")


@pytest.mark.parametrize("change", [str, str.upper, str.title, str.swapcase])
def test_email_and_username_are_taken_in_any_letter_case(service: Service, change: Any) -> None:
    user = service.register()
    answer = service.call("register_user", registration(email=change(user["email"])))
    assert (answer.status, answer.refusal) == (409, {"message": "email id already registered", "error": "email_taken"})
    name = change(user["credentials"]["username"])
    answer = service.call("register_user", registration(credentials={"username": name}))
    assert (answer.status, answer.refusal) == (409, {"message": "username not available", "error": "username_taken"})


def test_a_conflict_leaves_nothing_behind(service: Service) -> None:
    user = service.register()
    before = service.execute("SELECT max(seq) AS seq FROM users_outbox WHERE user_id <> %s", user["id"])
    assert service.call("register_user", registration(email=user["email"])).status == 409
    assert service.execute("SELECT max(seq) AS seq FROM users_outbox WHERE user_id <> %s", user["id"]) == before


def test_the_event_and_the_mail_are_written_with_the_account(service: Service) -> None:
    body = registration(tags=["t"], metadata={"m": 1}, private_metadata={"p": 1})
    user = service.call("register_user", body, headers={"x-request-id": "r1"}).json
    event, mail = outbox(service, user["id"])
    assert (event["channel"], event["name"], mail["channel"], mail["name"]) == (
        *("event", "user.create"),
        *("mail", "verification"),
    )
    assert mail["payload"] == {"email": body["email"]}
    assert isinstance(event["payload"].pop("occurred_at"), int)
    assert event["payload"] == {
        "operation": "user.create",
        "request_id": "r1",
        "id": user["id"],
        "status": "enabled",
        "created_at": user["created_at"],
        "token_type": "access token",
        "super_admin": False,
        "metadata": {"m": 1},
        "first_name": "Ada",
        "last_name": "Lovelace",
        "tags": ["t"],
        "username": body["credentials"]["username"],
        "email": body["email"],
    }


def test_no_verification_mail_where_it_is_turned_off(service: Service) -> None:
    with service.configured(MG_USERS_VERIFY_ON_REGISTER="false"):
        user = service.register()
    assert [row["channel"] for row in outbox(service, user["id"])] == ["event"]


@pytest.mark.parametrize("wish", [{"role": "admin"}, {"status": "disabled"}, {"role": "admin", "status": "disabled"}])
def test_what_only_administrators_give(service: Service, wish: dict[str, str]) -> None:
    refusal = {"message": "not authorized to perform admin action", "error": "not_administrator"}
    other = service.register()
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", other["id"])
    for token in (None, "undefined", service.log_in(other["email"])):
        answer = service.call("register_user", registration(**wish), token=token)
        assert (answer.status, answer.refusal) == (403, refusal)


def test_an_administrator_makes_another(service: Service) -> None:
    _, token = service.administrator()
    body = registration(role="admin")
    user = service.call("register_user", body, token=token).json
    assert user["role"] == "admin"
    event, mail = outbox(service, user["id"])
    assert mail["name"] == "invitation"  # no verification mail, because the account did not register itself
    assert event["payload"]["super_admin"] is True
    assert service.call("list_users", token=service.log_in(body["email"])).status == 200


def test_an_administrator_makes_a_disabled_account(service: Service) -> None:
    _, token = service.administrator()
    body = registration(status="disabled")
    user = service.call("register_user", body, token=token).json
    assert user["status"] == "disabled"
    (row,) = service.execute("SELECT disabled_at = created_at AS same FROM users WHERE id = %s", user["id"])
    assert row["same"]
    answer = service.call("issue_token", {"identity": body["email"], "secret": PASSWORD})
    assert answer.error == (401, "invalid_credentials")


def test_the_body_is_checked_before_the_role_is(service: Service) -> None:
    assert service.call("register_user", registration(role="admin", first_name="")).error[0] == 400


def test_without_self_registration(service: Service) -> None:
    _, admin = service.administrator()
    user = service.register()
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", user["id"])
    ordinary = service.log_in(user["email"])
    with service.configured(MG_USERS_ALLOW_SELF_REGISTER="false"):
        assert service.call("register_user", registration()).error == (401, "missing_token")
        assert service.call("register_user", registration(), token="undefined").error == (401, "unauthenticated")
        assert service.call("register_user", registration(), token=ordinary).error == (403, "not_administrator")
        made = service.call("register_user", registration(), token=admin)
        assert made.status == 201
    assert [row["name"] for row in outbox(service, made.json["id"])] == ["user.create", "invitation"]


def test_without_self_registration_the_bearer_comes_before_the_body(service: Service) -> None:
    with service.configured(MG_USERS_ALLOW_SELF_REGISTER="false"):
        assert service.call("register_user", raw="{").error == (401, "missing_token")
        assert service.call("register_user", {"first_name": ""}).error == (401, "missing_token")


@pytest.mark.parametrize("depth", [100, 300, 480, 960])
def test_deep_metadata_is_refused_not_an_error(service: Service, depth: int) -> None:
    raw = json.dumps(registration())[:-1] + ',"metadata":' + '{"a":' * depth + "1" + "}" * depth + "}"
    assert service.call("register_user", raw=raw).error == (400, "malformed_body")


def test_big_numbers_in_metadata_survive(service: Service) -> None:
    raw = json.dumps(registration())[:-1] + ',"metadata":{"a":1e21,"b":123456789012345678901234567890,"c":-0.5e-7}}'
    answer = service.call("register_user", raw=raw)
    assert answer.status == 201
    (row,) = service.execute("SELECT metadata FROM users WHERE id = %s", answer.json["id"])
    assert row["metadata"] == answer.json["metadata"] == {"a": 1e21, "b": 123456789012345678901234567890, "c": -0.5e-7}


def test_numbers_are_answered_the_same_at_once_and_later(service: Service) -> None:
    """PostgreSQL writes every digit, and supports neither exponents nor a negative zero."""
    numbers = (
        "[1,1.0,1.50,-0.0,-0,1e15,1e16,1e22,-1e23,1.7976931348623157e308,5e-324,1e-7,123456789012345678901234567890]"
    )
    body = registration()
    raw = json.dumps(body)[:-1] + f',"metadata":{{"n":{numbers}}},"private_metadata":{{"n":{numbers}}}}}'
    answer = service.call("register_user", raw=raw)
    assert answer.status == 201
    token = service.log_in(body["email"])

    def shown(text: str) -> list[str]:
        return [
            str(json.loads(text, parse_float=str, parse_int=str)[name]) for name in ("metadata", "private_metadata")
        ]

    at_once = shown(answer.text)
    assert shown(service.call("view_profile", token=token).text) == at_once
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", answer.json["id"])
    changed = service.call("update_user", raw=raw, token=token, user_id=answer.json["id"])
    assert (changed.status, shown(changed.text)) == (200, at_once)
    (event,) = (row for row in outbox(service, answer.json["id"]) if row["name"] == "user.create")
    assert event["payload"]["metadata"] == answer.json["metadata"]


@pytest.mark.parametrize("number", ["1e309", "-1e400", "1" + "0" * 309, "9" * 5000])
def test_a_number_that_other_languages_cannot_read_is_refused(service: Service, number: str) -> None:
    """A Go client, for example, could not read a list that contains such a number."""
    raw = json.dumps(registration())[:-1] + f',"metadata":{{"n":{number}}}}}'
    answer = service.call("register_user", raw=raw)
    assert answer.error == (400, "malformed_body")
    assert answer.json["message"] == "request body holds a number beyond the range of a 64-bit float"


def test_a_tag_that_is_null_is_refused(service: Service) -> None:
    """Upstream stores an empty tag."""
    assert service.call("register_user", registration(tags=[None])).error == (400, "malformed_body")


def test_the_member_relation_lets_a_fresh_user_log_in(service: Service) -> None:
    user = service.register()
    assert outbox(service, user["id"])[-1]["channel"] == "mail", "no repair was needed"
    assert service.log_in(user["email"])
