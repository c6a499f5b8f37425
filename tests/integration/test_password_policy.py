"""GET /password/policy returns the rules that registration applies."""

from typing import Any

import pytest

from tests.service import Service, registration

ALWAYS = {"max_bytes": 1024, "refuses_common": True, "refuses_names": True}


def policy(service: Service) -> Any:
    answer = service.call("password_policy")
    assert answer.status == 200
    return answer.json


def test_the_default(service: Service) -> None:
    answer = service.call("password_policy")
    assert answer.json == ALWAYS | {
        "pattern": "^.{8,}$",
        "min_length": 8,
        "passwordrules": "minlength: 8; maxlength: 1024; allowed: ascii-printable;",
    }
    assert answer.headers["Cache-Control"] == "public, max-age=300"


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("^.{12,64}$", {
            "min_length": 12, "max_length": 64,
            "passwordrules": "minlength: 12; maxlength: 64; allowed: ascii-printable;",
        }),
        ("^.{12,9999}$", {
            "min_length": 12, "max_length": 9999,
            "passwordrules": "minlength: 12; maxlength: 1024; allowed: ascii-printable;",
        }),
        # Each of these patterns demands more than a length, or less than it seems to demand.
        ("^[a-z]{8,}$", {}),
        ("^.{8,}[0-9]$", {}),
        ("^.{8,}", {}),
        ("(?s)^.{8,}$", {}),
        ("^.{8,}$|^root$", {}),
        ("[0-9]", {}),
    ],
)  # fmt: skip
def test_other_patterns(service: Service, pattern: str, shown: dict[str, Any]) -> None:
    with service.configured(MG_USERS_PASS_REGEX=pattern):
        assert policy(service) == ALWAYS | {"pattern": pattern} | shown


def test_what_is_told_is_what_is_applied(service: Service) -> None:
    with service.configured(MG_USERS_PASS_REGEX="^.{10,12}$", MG_USERS_PASS_COMMON_CHECK="false"):
        shown = policy(service)
        assert shown["refuses_common"] is False
        lengths = range(shown["min_length"] - 1, shown["max_length"] + 2)
        statuses = [
            service.call("register_user", registration(credentials={"secret": "p" * length})).status
            for length in lengths
        ]
    assert statuses == [400, 201, 201, 201, 400]
    with service.configured(MG_USERS_PASS_REGEX="."):
        body = registration(credentials={"secret": "q" * policy(service)["max_bytes"] + "q"})
        assert service.call("register_user", body).error == (400, "password_too_long")


def test_it_needs_no_part_of_the_system(service: Service) -> None:
    away = {"MG_USERS_DB_HOST": "127.0.0.1", "MG_USERS_DB_PORT": "1", "MG_AUTH_GRPC_URL": "127.0.0.1:1"}
    with service.configured(**away, MG_USERS_SECRET_KEY=""):
        assert policy(service)["pattern"] == "^.{8,}$"
