"""GET /health (contract §1.6.25)."""

import json

from tests.service import Service


def test_health(service: Service) -> None:
    answer = service.call("health")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/health+json"
    assert list(answer.json) == ["status", "version", "commit", "description", "build_time", "instance_id"]
    assert answer.json["status"] == "pass"
    assert answer.json["description"] == "users service"
    assert answer.json["instance_id"]
    assert answer.text.endswith("}\n")


def test_the_instance_is_the_same_at_each_call(service: Service) -> None:
    assert service.call("health").json == service.call("health").json


def test_no_dependency_is_asked(service: Service) -> None:
    with service.configured(MG_USERS_DB_HOST="/nowhere", MG_AUTH_GRPC_URL="localhost:1"):
        assert json.loads(service.call("health").text)["status"] == "pass"
