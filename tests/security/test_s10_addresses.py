"""S10 An address is limited over all identities. Only API Gateway or a proven edge decides which address it is."""

import uuid

import pytest

from tests.people import log_in, person
from tests.service import Service, registration


def address() -> str:
    return str(uuid.uuid4())


@pytest.mark.long
def test_s10_one_address_trying_many_identities(service: Service) -> None:
    ada, source = person(service), address()
    statuses = [log_in(service, address(), "wrong password", address=source).status for _ in range(91)]
    assert statuses == [401] * 90 + [429]
    answer = log_in(service, ada.email, ada.secret, address=source)
    assert answer.error == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) > 0
    assert log_in(service, ada.email, ada.secret, address=address()).status == 201


@pytest.mark.long
def test_s10_many_addresses_trying_one_identity(service: Service) -> None:
    ada = person(service)
    service.execute("DELETE FROM users_known_addresses WHERE user_id = %s", ada.id)
    statuses = [log_in(service, ada.email, "wrong password", address=address()).status for _ in range(31)]
    assert statuses == [401] * 30 + [429]


def test_s10_x_forwarded_for_is_never_read(service: Service) -> None:
    ada, source = person(service), address()
    for number in range(5):
        headers = {"x-forwarded-for": f"198.51.100.{number}", "x-real-ip": f"198.51.100.{number}"}
        assert log_in(service, ada.email, "wrong password", address=source, headers=headers).status == 401
    headers = {"x-forwarded-for": "198.51.100.99"}
    assert log_in(service, ada.email, ada.secret, address=source, headers=headers).status == 429


@pytest.mark.parametrize("viewer", ["198.51.100.10:46532", "2001:db8::17e:7:46532"])
def test_s10_an_edge_that_proves_itself_tells_the_address(service: Service, viewer: str) -> None:
    ada = person(service)
    edge = {"x-origin-verify": "shared with the edge", "cloudfront-viewer-address": viewer}
    with service.configured(MG_USERS_ORIGIN_SECRET="shared with the edge"):
        for _ in range(5):
            assert log_in(service, ada.email, "wrong password", headers=edge).status == 401
        other_port = edge | {"cloudfront-viewer-address": viewer.rpartition(":")[0] + ":1024"}
        assert log_in(service, ada.email, ada.secret, headers=other_port).status == 429
        other_viewer = edge | {"cloudfront-viewer-address": "203.0.113.9:443"}
        assert log_in(service, ada.email, ada.secret, headers=other_viewer).status == 201


@pytest.mark.parametrize("secret", ["", "guessed", "sécret"])
def test_s10_an_edge_that_does_not_prove_itself_is_not_believed(service: Service, secret: str) -> None:
    ada, source = person(service), address()
    with service.configured(MG_USERS_ORIGIN_SECRET="shared with the edge"):
        for number in range(5):
            headers = {"x-origin-verify": secret, "cloudfront-viewer-address": f"198.51.100.{number}:443"}
            assert log_in(service, ada.email, "wrong password", address=source, headers=headers).status == 401
        assert log_in(service, ada.email, ada.secret, address=source).status == 429


def test_s10_without_a_secret_no_header_is_believed(service: Service) -> None:
    ada, source = person(service), address()
    for number in range(5):
        headers = {"x-origin-verify": "", "cloudfront-viewer-address": f"198.51.100.{number}:443"}
        log_in(service, ada.email, "wrong password", address=source, headers=headers)
    assert log_in(service, ada.email, ada.secret, address=source).status == 429


def test_s10_registrations_of_an_address(service: Service) -> None:
    source = address()
    with service.configured(MG_USERS_REGISTRATIONS_PER_HOUR="2"):
        assert [service.call("register_user", registration(), address=source).status for _ in range(2)] == [201, 201]
        taken = service.call("register_user", registration(), address=source)
        assert taken.error == (429, "too_many_requests")
        assert 0 < int(taken.headers["Retry-After"]) <= 3600
        assert service.call("register_user", registration(), address=address()).status == 201


def test_s10_the_hour_of_registrations_does_not_slide(own_service: Service) -> None:
    source, ends = address(), []
    for _ in range(3):
        assert own_service.call("register_user", registration(), address=source).status == 201
        rows = own_service.execute("SELECT expires_at FROM users_throttle WHERE key LIKE 'register:%%'")
        ends.append([each["expires_at"] for each in rows])
    assert ends == ends[:1] * 3


def test_s10_an_administrator_registers_as_many_as_he_likes(service: Service) -> None:
    _, token = service.administrator()
    source = address()
    with service.configured(MG_USERS_REGISTRATIONS_PER_HOUR="1", MG_USERS_ALLOW_SELF_REGISTER="false"):
        for _ in range(3):
            assert service.call("register_user", registration(), token=token, address=source).status == 201
