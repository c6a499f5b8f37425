"""S51 A personal access token or API key reads what its owner may read and changes its owner's profile, nothing else.

tests/authorization/matrix.csv covers every operation with an administrator's tokens.
"""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from local.parts.auth import AuthServer
from tests.people import Person, administrator, person, row, token_of_kind
from tests.service import Answer, Service, registration
from users.peers.proto import auth_pb2

KINDS = ("pat", "api_key")
REFUSED = (403, "access_token_required")
PROFILE_CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("update_user", {"first_name": "Grace", "metadata": {"a": 1}, "private_metadata": {"b": 2}}),
    ("update_user_tags", {"tags": ["x"]}),
    ("update_profile_picture", {"profile_picture": "https://example.com/p.png"}),
    ("update_username", {"username": ""}),  # a new name for each call
]


def change(service: Service, operation: str, body: dict[str, Any], user_id: str, token: str) -> Answer:
    if operation == "update_username":
        body = {"username": f"n{uuid.uuid4().hex[:12]}"}
    return service.call(operation, body, user_id=user_id, token=token)


@pytest.fixture
def boss(service: Service) -> Person:
    return administrator(service)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("operation", "body"), PROFILE_CHANGES)
def test_s51_nobody_elses_profile_is_changed(
    service: Service, boss: Person, operation: str, body: dict[str, Any], kind: str
) -> None:
    ada = person(service)
    before = row(service, ada.id)
    token = token_of_kind(service, boss.id, kind)
    assert change(service, operation, body, ada.id, token).error == REFUSED
    assert row(service, ada.id) == before
    assert change(service, operation, body, ada.id, boss.token).status == 200, "a login may do it"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("operation", "body"), PROFILE_CHANGES)
@pytest.mark.parametrize("make", [person, administrator])
def test_s51_the_owners_own_profile_is_changed(
    service: Service, make: Callable[[Service], Person], operation: str, body: dict[str, Any], kind: str
) -> None:
    owner = make(service)
    assert change(service, operation, body, owner.id, token_of_kind(service, owner.id, kind)).status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_s51_no_account_is_enabled_or_disabled(service: Service, boss: Person, kind: str) -> None:
    ada, token = person(service), token_of_kind(service, boss.id, kind)
    assert service.call("disable_user", user_id=ada.id, token=token).error == REFUSED
    assert service.call("disable_user", user_id=boss.id, token=token).error == REFUSED, "it is no profile"
    service.execute("UPDATE users SET status = 1 WHERE id = %s", ada.id)
    assert service.call("enable_user", user_id=ada.id, token=token).error == REFUSED
    assert (row(service, ada.id)["status"], row(service, boss.id)["status"]) == (1, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("privilege", [{"role": "admin"}, {"status": "disabled"}])
def test_s51_no_account_is_registered_with_privileges(
    service: Service, boss: Person, privilege: dict[str, str], kind: str
) -> None:
    body = registration(**privilege)
    token = token_of_kind(service, boss.id, kind)
    assert service.call("register_user", body, token=token).error == REFUSED
    assert service.execute("SELECT FROM users WHERE email = %s", body["email"]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_s51_no_account_is_registered_where_administrators_alone_may(service: Service, boss: Person, kind: str) -> None:
    token = token_of_kind(service, boss.id, kind)
    with service.configured(MG_USERS_ALLOW_SELF_REGISTER="false"):
        assert service.call("register_user", registration(), token=token).error == REFUSED
        assert service.call("register_user", registration(), token=boss.token).status == 201


@pytest.mark.parametrize("kind", KINDS)
def test_s51_the_limit_of_registrations_stays(service: Service, boss: Person, kind: str) -> None:
    token, address = token_of_kind(service, boss.id, kind), str(uuid.uuid4())
    with service.configured(MG_USERS_REGISTRATIONS_PER_HOUR="1"):
        assert service.call("register_user", registration(), address=address).status == 201
        answer = service.call("register_user", registration(), address=address, token=token)
        assert answer.error == (429, "too_many_requests")
        assert service.call("register_user", registration(), address=address, token=boss.token).status == 201


@pytest.mark.parametrize("kind", KINDS)
def test_s51_what_the_owner_may_read(service: Service, boss: Person, kind: str) -> None:
    ada = person(service, private_metadata={"b": 1})
    token = token_of_kind(service, boss.id, kind)
    assert service.call("view_user", user_id=ada.id, token=token).json["private_metadata"] == {"b": 1}
    assert service.call("list_users", query="limit=1", token=token).status == 200
    hers = token_of_kind(service, ada.id, kind)
    assert service.call("list_users", token=hers).error == (403, "not_administrator")
    assert "private_metadata" not in service.call("view_user", user_id=boss.id, token=hers).json


@pytest.mark.parametrize("kind", KINDS)
def test_s51_what_its_owner_may_not_do_is_answered_as_to_its_owner(service: Service, kind: str) -> None:
    ada, bob = person(service), person(service)
    token = token_of_kind(service, bob.id, kind)
    assert service.call("update_user_tags", {"tags": []}, user_id=ada.id, token=token).error == (403, "forbidden")
    assert service.call("enable_user", user_id=ada.id, token=token).error == (403, "not_administrator")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sent_type", [0, 1, 2, 5])
def test_s51_auths_word_alone_makes_no_login_of_it(service: Service, kind: str, sent_type: int) -> None:
    """An access token has kind 0, and an Auth that omits the field leads to 0 as well."""
    variables = {"MG_AUTH_KEYS_ALGORITHM": "HS256", "MG_AUTH_SECRET_KEY": "k" * 64}
    owner = person(service)
    token = token_of_kind(Service({}, "", service.auth_environment | variables), owner.id, kind)
    answer = auth_pb2.AuthNRes(user_id=owner.id, token_type=sent_type)
    method: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
        lambda _request, _context: answer, response_serializer=auth_pb2.AuthNRes.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("auth.v1.AuthService", {"Authenticate": method})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with service.configured(**variables, MG_AUTH_GRPC_URL=f"127.0.0.1:{port}"):
            for operation in ("view_profile", "send_verification"):
                assert service.call(operation, token=token).error == (401, "unauthenticated")
    finally:
        server.stop(None).wait()


# --- MG_USERS_PATS=false


@pytest.fixture(params=["EdDSA", "HS256"])
def with_keys(
    service: Service, make_auth: Callable[..., AuthServer], request: pytest.FixtureRequest
) -> Iterator[Service]:
    """Yield the service with each kind of Auth's keys."""
    variables = {"MG_AUTH_KEYS_ALGORITHM": request.param}
    if request.param != "EdDSA":
        variables["MG_AUTH_SECRET_KEY"] = "k" * 64
    elsewhere = service.asking(make_auth(**variables), **variables)
    with elsewhere.configured():
        yield elsewhere


def test_s51_all_of_them_can_be_refused(with_keys: Service) -> None:
    ada = with_keys.register()
    tokens = [with_keys.auth_command("pat", ada["id"]), with_keys.auth_command("api-key", ada["id"])]
    access = with_keys.log_in(ada["email"])
    for token in [*tokens, access]:
        assert with_keys.call("view_profile", token=token).status == 200
    with with_keys.configured(MG_USERS_PATS="false"):
        for token in tokens:
            assert with_keys.call("view_profile", token=token).error == (401, "unauthenticated")
        assert with_keys.call("view_profile", token=access).status == 200


def test_s51_refused_before_auth_is_asked(with_keys: Service) -> None:
    ada = with_keys.register()
    tokens = [with_keys.auth_command("pat", ada["id"]), with_keys.auth_command("api-key", ada["id"])]
    with with_keys.configured(MG_USERS_PATS="false", MG_AUTH_GRPC_URL="127.0.0.1:1"):
        for token in tokens:
            assert with_keys.call("view_profile", token=token).error == (401, "unauthenticated")
