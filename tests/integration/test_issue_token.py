"""POST /users/tokens/issue (contract §1.6.2, §4.3; decisions 6, 12, 15, 19, 26)."""

import math
import time
import uuid
from collections.abc import Callable
from typing import Any

import bcrypt
import pytest

from local.parts.auth import AuthServer
from tests.service import PASSWORD, Service, eventually
from users.peers import jwt
from users.rules import passwords


def stored_hash(service: Service, user_id: str) -> str:
    secret: str = service.execute("SELECT secret FROM users WHERE id = %s", user_id)[0]["secret"]
    return secret


def store_bcrypt(service: Service, user_id: str, password: str, prefix: bytes = b"2a") -> str:
    """Store a bcrypt hash, as upstream does. Return the hash."""
    stored = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4, prefix)).decode()
    service.execute("UPDATE users SET secret = %s WHERE id = %s", stored, user_id)
    return stored


def test_an_answer(service: Service) -> None:
    user = service.register()
    answer = service.call("issue_token", {"identity": user["email"], "secret": PASSWORD})
    assert answer.status == 201
    assert list(answer.json) == ["access_token", "refresh_token"]
    assert answer.headers["Cache-Control"] == "no-store"
    access, refresh = (jwt.unverified_claims(token) for token in answer.json.values())
    assert (access["sub"], access["type"], access["role"], access["verified"]) == (user["id"], 0, 1, False)
    assert (refresh["sub"], refresh["type"]) == (user["id"], 1)


@pytest.mark.parametrize("keys", [("identity", "secret"), ("username", "password"), ("Identity", "SECRET")])
@pytest.mark.parametrize("by", ["email", "username"])
@pytest.mark.parametrize("case", [str, str.upper, str.swapcase])
def test_documented_and_sdk_form_by_email_and_username_in_any_case(
    service: Service, keys: tuple[str, str], by: str, case: Callable[[str], str]
) -> None:
    user = service.register()
    identity = user["email"] if by == "email" else user["credentials"]["username"]
    answer = service.call("issue_token", dict(zip(keys, (case(identity), PASSWORD), strict=True)))
    assert answer.status == 201
    assert jwt.unverified_claims(answer.json["access_token"])["sub"] == user["id"]


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({}, "missing_identity", "missing username / email"),
        ({"secret": "x"}, "missing_identity", "missing username / email"),
        ({"username": "", "password": "x"}, "missing_identity", "missing username / email"),
        ({"identity": "x"}, "missing_password", "missing password"),
        ({"username": "x", "password": None}, "missing_password", "missing password"),
        ({"identity": "x", "secret": "é" * 513}, "password_too_long", "password is longer than 1024 bytes"),
    ],
)
def test_what_is_missing_or_too_long(service: Service, body: dict[str, Any], code: str, message: str) -> None:
    answer = service.call("issue_token", body)
    assert (answer.status, answer.refusal) == (400, {"message": message, "error": code})


def test_the_role_and_the_verification_are_the_rows(service: Service) -> None:
    admin, token = service.administrator()
    assert jwt.unverified_claims(token)["role"] == 2
    service.execute("UPDATE users SET verified_at = now() WHERE id = %s", admin)
    (row,) = service.execute("SELECT email FROM users WHERE id = %s", admin)
    assert jwt.unverified_claims(service.log_in(row["email"]))["verified"] is True


def test_the_description_labels_the_refresh_token(service: Service) -> None:
    from users.peers import auth

    user = service.register()
    body = {"identity": user["email"], "secret": PASSWORD, "description": "my laptop"}
    assert service.call("issue_token", body).status == 201
    assert [token.description for token in auth.list_refresh_tokens(user["id"])] == ["my laptop"]


def test_the_event(service: Service) -> None:
    user = service.register()
    identity = user["email"].upper()
    body = {"identity": identity, "secret": PASSWORD}
    assert service.call("issue_token", body, headers={"x-request-id": "r1"}).status == 201
    (row,) = service.execute(
        "SELECT payload FROM users_outbox WHERE user_id = %s AND name = 'user.issue_token'", user["id"]
    )
    assert isinstance(row["payload"].pop("occurred_at"), int)
    assert row["payload"] == {"operation": "user.issue_token", "request_id": "r1", "username": identity}


def test_a_refused_login_leaves_no_event(service: Service) -> None:
    user = service.register()
    assert service.call("issue_token", {"identity": user["email"], "secret": "wrong"}).status == 401
    rows = service.execute("SELECT 1 FROM users_outbox WHERE user_id = %s AND name = 'user.issue_token'", user["id"])
    assert rows == []


@pytest.mark.parametrize("stored", ["", None])
def test_an_account_of_an_external_provider_has_no_password(service: Service, stored: str | None) -> None:
    user = service.register()
    service.execute("UPDATE users SET secret = %s, auth_provider = 'google' WHERE id = %s", stored, user["id"])
    for secret in (PASSWORD, "x"):
        answer = service.call("issue_token", {"identity": user["email"], "secret": secret})
        assert answer.error == (401, "invalid_credentials")


def test_a_password_is_not_trimmed_and_not_folded(service: Service) -> None:
    user = service.register(credentials={"secret": "  Grüße 😀  "})
    for wrong in ("Grüße 😀", "  grüße 😀  ", "  Grüße 😀 "):
        assert service.call("issue_token", {"identity": user["email"], "secret": wrong}).status == 401
    assert service.log_in(user["email"], "  Grüße 😀  ")


# --- accounts whose names differ only by case (decisions 19)


def test_the_exact_spelling_comes_first_then_the_folded_one(service: Service) -> None:
    first = service.register(credentials={"username": f"ada{uuid.uuid4().hex[:12]}"})
    second = service.register(credentials={"secret": "another password 8"})
    service.execute(
        "UPDATE users SET email = upper(%s), username = upper(%s), case_conflict = true WHERE id = %s",
        *(first["email"], first["credentials"]["username"], second["id"]),
    )

    def whose(identity: str, secret: str) -> str | None:
        answer = service.call("issue_token", {"identity": identity, "secret": secret})
        return jwt.unverified_claims(answer.json["access_token"])["sub"] if answer.status == 201 else None

    for name in (first["email"], first["credentials"]["username"]):
        assert whose(name, PASSWORD) == first["id"]
        assert whose(name.upper(), "another password 8") == second["id"]
        assert whose(name.upper(), PASSWORD) is None
        assert whose(name.capitalize(), PASSWORD) == first["id"]
        assert whose(name.capitalize(), "another password 8") is None


# --- hashes of upstream (decisions 26)


@pytest.mark.parametrize("prefix", [b"2a", b"2b"])
def test_a_bcrypt_hash_logs_in_and_is_argon2id_afterwards(service: Service, prefix: bytes) -> None:
    user = service.register()
    store_bcrypt(service, user["id"], "pässword of upstream", prefix)
    assert service.call("issue_token", {"identity": user["email"], "secret": "wrong"}).status == 401
    assert stored_hash(service, user["id"]).startswith(f"${prefix.decode()}$")
    assert service.log_in(user["email"], "pässword of upstream")
    assert stored_hash(service, user["id"]).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert service.log_in(user["email"], "pässword of upstream")


def test_an_argon2id_hash_stays(service: Service) -> None:
    user = service.register()
    before = stored_hash(service, user["id"])
    service.log_in(user["email"])
    assert stored_hash(service, user["id"]) == before


def test_bcrypt_stays_until_the_operator_has_decided(service: Service) -> None:
    user = service.register()
    before = store_bcrypt(service, user["id"], "password of upstream")
    with service.configured(MG_USERS_REHASH="false"):
        assert service.log_in(user["email"], "password of upstream")
    assert stored_hash(service, user["id"]) == before


def test_a_password_that_changes_meanwhile_is_not_overwritten(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = service.register()
    store_bcrypt(service, user["id"], "password of upstream")
    changed = passwords.hash_password("changed meanwhile")
    real = passwords.hash_password

    def change_then_hash(password: str) -> str:
        service.execute("UPDATE users SET secret = %s WHERE id = %s", changed, user["id"])
        return real(password)

    monkeypatch.setattr(passwords, "hash_password", change_then_hash)
    service.call("issue_token", {"identity": user["email"], "secret": "password of upstream"})
    assert stored_hash(service, user["id"]) == changed


# --- rotation (decisions 12)


def age(service: Service, user_id: str, interval: str) -> None:
    service.execute("UPDATE users SET secret_changed_at = now() - %s::interval WHERE id = %s", interval, user_id)


def test_an_expired_password(service: Service) -> None:
    user = service.register()
    age(service, user["id"], "91 days")
    body = {"identity": user["credentials"]["username"], "secret": PASSWORD}
    with service.configured(MG_USERS_PASS_MAX_AGE="2160h"):
        assert service.call("issue_token", body | {"secret": "wrong"}).error == (401, "invalid_credentials")
        answer = service.call("issue_token", body)
        assert (answer.status, answer.refusal) == (403, {"message": "password expired", "error": "password_expired"})
    (row,) = service.execute(
        "SELECT count(*) AS wishes FROM users_outbox WHERE channel = 'reset_request' AND payload ->> 'email' = %s",
        user["email"],
    )
    assert row["wishes"] == 1, "the right password asks for a reset mail, a wrong one does not"
    assert service.call("issue_token", body).status == 201, "the limit is off by default"


def test_a_password_that_is_young_enough(service: Service) -> None:
    user = service.register()
    age(service, user["id"], "89 days")
    with service.configured(MG_USERS_PASS_MAX_AGE="2160h"):
        assert service.log_in(user["email"])


def test_a_password_of_unknown_age_is_as_old_as_its_account(service: Service) -> None:
    user = service.register()
    service.execute(
        "UPDATE users SET secret_changed_at = NULL, created_at = now() - interval '2 hours' WHERE id = %s", user["id"]
    )
    with service.configured(MG_USERS_PASS_MAX_AGE="1h"):
        answer = service.call("issue_token", {"identity": user["email"], "secret": PASSWORD})
        assert answer.error == (403, "password_expired")


# --- tokens_valid_from (decisions 15)


def test_a_login_in_the_second_of_a_change_waits_for_the_next(service: Service) -> None:
    user = service.register()
    (row,) = service.execute(
        "UPDATE users SET tokens_valid_from = date_trunc('second', now()) + interval '1 second' WHERE id = %s"
        " RETURNING extract(epoch FROM tokens_valid_from)::bigint AS valid_from",
        user["id"],
    )
    token = service.log_in(user["email"])
    assert time.time() >= row["valid_from"]
    assert jwt.unverified_claims(token)["iat"] >= row["valid_from"]
    assert service.call("view_profile", token=token).status == 200


def test_a_change_in_the_past_costs_no_wait(service: Service) -> None:
    user = service.register()
    service.execute("UPDATE users SET tokens_valid_from = now() - interval '1 hour' WHERE id = %s", user["id"])
    assert service.call("view_profile", token=service.log_in(user["email"])).status == 200


def test_a_change_in_the_far_future_is_a_wrong_clock(service: Service) -> None:
    user = service.register()
    service.execute("UPDATE users SET tokens_valid_from = now() + interval '1 hour' WHERE id = %s", user["id"])
    answer = service.call("issue_token", {"identity": user["email"], "secret": PASSWORD})
    assert answer.error == (503, "service_unavailable")
    assert int(answer.headers["Retry-After"]) >= 1


# --- Auth and its relations


def test_a_user_whose_relation_is_missing_gets_it_at_login(
    service: Service, make_auth: Callable[..., AuthServer]
) -> None:
    user, (admin, _) = service.register(), service.administrator()
    (row,) = service.execute("SELECT email FROM users WHERE id = %s", admin)
    elsewhere = service.asking(make_auth())
    with elsewhere.configured():
        assert jwt.unverified_claims(elsewhere.log_in(user["email"]))["role"] == 1
        token = elsewhere.log_in(row["email"])
        assert elsewhere.call("list_users", token=token, query="limit=1").status == 200


def test_auth_away_is_503_and_the_same_login_works_later(
    service: Service, make_auth: Callable[..., AuthServer]
) -> None:
    server = make_auth()
    elsewhere = service.asking(server)
    with elsewhere.configured():
        user = elsewhere.register()
        body = {"identity": user["email"], "secret": PASSWORD}
        server.stop()
        answer = elsewhere.call("issue_token", body)
        assert answer.error == (503, "service_unavailable")
        assert answer.headers["Retry-After"] == "2"
        assert elsewhere.call("issue_token", body | {"secret": "wrong"}).error == (401, "invalid_credentials")
        server.start()
        server.wait_ready()
        eventually(lambda: elsewhere.call("issue_token", body).status == 201)


def test_registration_while_the_policy_store_is_away_is_repaired_by_the_relay(
    service: Service, own_service: Service, make_auth: Callable[..., AuthServer]
) -> None:
    server = make_auth()
    elsewhere = own_service.asking(server)
    with elsewhere.configured():
        server.stop()
        user = elsewhere.register()
        (row,) = elsewhere.execute("SELECT user_id, payload FROM users_outbox WHERE channel = 'relation'")
        assert row == {"user_id": user["id"], "payload": {"user_id": user["id"]}}
        assert elsewhere.deliver()["unavailable"] == 1
        server.start()
        server.wait_ready()

        def repaired() -> bool:
            elsewhere.deliver()
            return elsewhere.execute("SELECT 1 FROM users_outbox WHERE channel = 'relation'") == []

        eventually(repaired)
        from users.peers import auth

        assert auth.issue(user["id"], role=0, verified=False).access_token, "Issue finds the relation"


def test_registration_while_the_policy_store_is_away_is_repaired_by_the_first_login(
    service: Service, make_auth: Callable[..., AuthServer]
) -> None:
    server = make_auth()
    elsewhere = service.asking(server)
    with elsewhere.configured():
        server.stop()
        user = elsewhere.register()
        server.start()
        server.wait_ready()
        body = {"identity": user["email"], "secret": PASSWORD}
        eventually(lambda: elsewhere.call("issue_token", body).status == 201)


def test_no_policy_store_at_all(service: Service, make_auth: Callable[..., AuthServer]) -> None:
    with service.configured(MG_SPICEDB_HOST=""):
        user = service.register()
        assert (
            service.execute("SELECT 1 FROM users_outbox WHERE user_id = %s AND channel = 'relation'", user["id"]) == []
        )


def test_the_request_is_over_within_the_deadline(service: Service) -> None:
    user = service.register()
    with service.configured(MG_AUTH_GRPC_URL="192.0.2.1:1", MG_AUTH_GRPC_TIMEOUT="200ms"):
        started = time.monotonic()
        answer = service.call("issue_token", {"identity": user["email"], "secret": PASSWORD})
        assert answer.status == 503
        assert math.floor(time.monotonic() - started) <= 3
