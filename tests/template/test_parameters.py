"""What CloudFormation takes for a parameter, the service takes for the parameter's variable."""

import re

import pytest

from tests.template.cloudformation import takes, template
from users.settings import Settings

VARIABLES = {
    "".join(word.capitalize() for word in re.sub(r"^MG_(USERS_)?", "", variable.name).split("_")): variable
    for variable in Settings.variables()
}
# A parameter of its own kind: a schedule expression.
PARAMETERS = {
    name: about for name, about in template()["Parameters"].items() if name in VARIABLES and name != "DeleteInterval"
}
RULES = ("AllowedPattern", "AllowedValues", "MinValue")
VALUES = [
    *(
        "",
        "0",
        "1",
        "5432",
        "65535",
        "65536",
        "-1",
        "1e3",
        "ten",
        "1000000",
        "1000001",
        "nan",
        "inf",
        "1.0",
        "0.25",
        ".5",
        "1.5",
    ),
    *(
        "0s",
        "24h",
        "1h30m",
        "-1h",
        "+1h",
        "1d",
        "1h 30m",
        "soon",
        "500ms",
        "0.5s",
        "59.5s",
        "60s",
        "61s",
        "1m",
        "2m",
        "05",
        "0.0001s",
    ),
    *("true", "false", "yes", "debug", "loud", "EdDSA", "RS256", "require", "prefer", "verify-full", "never"),
    *("http://a", "https://a.example/b?c=d", "ftp://a", "javascript:alert(1)", "https://", "https:// a", "//a", "a"),
    *("a@b", "a@b.example", "a@b@c", "@b", "a@", "a b@c", "#0b57a4", "#fff", "red", "red;}"),
]


def is_usable(name: str, value: str) -> bool:
    try:
        Settings({VARIABLES[name].name: value})
    except Exception:  # noqa: BLE001 - any of them would stop a function
        return False
    return True


def is_checked(name: str) -> bool:
    return VARIABLES[name].parse is not str


@pytest.mark.parametrize("name", [name for name in PARAMETERS if is_checked(name)])
def test_what_the_stack_takes_the_service_takes(name: str) -> None:
    about = PARAMETERS[name]
    assert any(rule in about for rule in RULES), "it takes what stops every function"
    taken = [value for value in VALUES if takes(about, value)]
    assert [value for value in taken if not is_usable(name, value)] == []
    assert "Default" not in about or takes(about, str(about["Default"]))
    assert taken
    assert len(taken) < len(VALUES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DeleteAfter", "-1h"),
        ("PassMaxAge", "90d"),
        ("AuthGrpcTimeout", "1"),
        ("RegistrationsPerHour", "-1"),
        ("DbPort", "0"),
        ("SpicedbPort", "65536"),
        ("EmailPort", "ten"),
        ("AdminEmail", "admin"),
        ("PasswordResetUrlPrefix", "javascript:alert(1)"),
        ("CallhomeUrl", "http://a"),
        ("JaegerTraceRatio", "1.5"),
        ("ProductColor", "red;}"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_deployment(name: str, value: str) -> None:
    assert not takes(template()["Parameters"][name], value)
