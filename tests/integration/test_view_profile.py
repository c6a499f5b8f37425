"""GET /users/profile (contract §1.5, §1.6.8)."""

import uuid

import pytest

from tests.service import Service


def test_the_whole_account_but_the_secret(service: Service) -> None:
    user = service.register(
        tags=["a", "b"],
        metadata={"m": {"n": [1, 2.5, None, True, "é"]}},
        private_metadata={"p": 1},
        profile_picture="https://x/p.png",
    )
    token = service.log_in(user["email"])
    service.execute(
        "UPDATE users SET updated_at = '2026-06-26T12:11:12.3456+02', updated_by = 'me', verified_at = created_at,"
        " auth_provider = 'google' WHERE id = %s",
        user["id"],
    )
    answer = service.call("view_profile", token=token)
    assert answer.status == 200
    assert list(answer.json.items()) == [
        ("id", user["id"]),
        ("first_name", "Ada"),
        ("last_name", "Lovelace"),
        ("tags", ["a", "b"]),
        ("metadata", {"m": {"n": [1, 2.5, None, True, "é"]}}),
        ("private_metadata", {"p": 1}),
        ("status", "enabled"),
        ("role", "user"),
        ("profile_picture", "https://x/p.png"),
        ("credentials", user["credentials"]),
        ("email", user["email"]),
        ("created_at", user["created_at"]),
        ("updated_at", "2026-06-26T10:11:12.3456Z"),
        ("updated_by", "me"),
        ("verified_at", user["created_at"]),
        ("auth_provider", "google"),
    ]


def test_a_fresh_account_is_what_registration_answered(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    assert service.call("view_profile", token=token).json | {"secret": user["secret"]} == user


def test_an_unverified_account_may(service: Service) -> None:
    user = service.register()
    assert service.call("view_profile", token=service.log_in(user["email"])).status == 200


@pytest.mark.parametrize("status", [1, 2])
def test_disabled_and_deleted_accounts(service: Service, status: int) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    service.execute("UPDATE users SET status = %s WHERE id = %s", status, user["id"])
    assert service.call("view_profile", token=token).error == (401, "unauthenticated")


def test_a_purged_account(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    service.execute("DELETE FROM users WHERE id = %s", user["id"])
    assert service.call("view_profile", token=token).error == (401, "unauthenticated")


def test_somebody_who_never_was(service: Service) -> None:
    token = service.auth_token(str(uuid.uuid4()), "access")
    assert service.call("view_profile", token=token).error == (401, "unauthenticated")


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "bearer x", "Basic eDp5"])
def test_no_token(service: Service, authorization: str) -> None:
    answer = service.call("view_profile", headers={"authorization": authorization})
    assert answer.status == 401
    assert answer.json == {"message": "missing or invalid bearer user token", "error": "missing_token"}


def test_rows_of_upstream_with_nulls_everywhere(service: Service) -> None:
    user = service.register()
    token = service.log_in(user["email"])
    service.execute(
        "UPDATE users SET tags = NULL, metadata = NULL, private_metadata = NULL, created_at = NULL, role = NULL,"
        " username = NULL, profile_picture = NULL WHERE id = %s",
        user["id"],
    )
    assert service.call("view_profile", token=token).json == {
        "id": user["id"],
        "first_name": "Ada",
        "last_name": "Lovelace",
        "status": "enabled",
        "role": "user",
        "credentials": {},
        "email": user["email"],
        "created_at": "0001-01-01T00:00:00Z",
        "updated_at": "0001-01-01T00:00:00Z",
        "verified_at": "0001-01-01T00:00:00Z",
    }
    service.execute("UPDATE users SET created_at = now() WHERE id = %s", user["id"])


def test_reading_leaves_an_event_only_where_asked(service: Service) -> None:
    user = service.register(private_metadata={"p": 1}, metadata={"m": 1}, tags=["t"])
    token = service.log_in(user["email"])

    def viewed() -> list[dict[str, object]]:
        rows = service.execute(
            "SELECT payload FROM users_outbox WHERE user_id = %s AND name = 'user.view_profile'", user["id"]
        )
        return [row["payload"] for row in rows]

    assert service.call("view_profile", token=token).status == 200
    assert viewed() == []
    with service.configured(MG_USERS_READ_EVENTS="true"):
        assert service.call("view_profile", token=token, headers={"x-request-id": "r1"}).status == 200
    (payload,) = viewed()
    assert isinstance(payload.pop("occurred_at"), int)
    assert payload == {
        "operation": "user.view_profile",
        "request_id": "r1",
        "id": user["id"],
        "token_type": "access token",
        "super_admin": False,
        "status": "enabled",
        "metadata": {"m": 1},
        "first_name": "Ada",
        "tags": ["t"],
        "email": user["email"],
        "username": user["credentials"]["username"],
        "created_at": user["created_at"],
    }
