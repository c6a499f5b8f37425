"""S58 A malformed personal access token never reaches Auth, because the real Auth crashes on ``Authenticate("pat")``.

Auth splits the token at ``_`` and reads the second part, which is missing. The log of the local Auth shows the calls.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from local.parts.auth import AuthServer
from tests.people import refresh
from tests.service import Service, registration

IDS = "A" * 43 + "="  # base64 of 32 bytes
SECRET = "a" * 100
REFUSED = (401, "unauthenticated")
MALFORMED = {
    "nothing behind it": "pat",
    "no parts": "pat_",
    "empty parts": "pat__",
    "an empty secret": f"pat_{IDS}_",
    "empty ids": f"pat__{SECRET}",
    "short parts": "pat_x_y",
    "another start": f"patx_{IDS}_{SECRET}",
    "no separator": f"pat{IDS}{SECRET}",
    "two parts": f"pat_{IDS}",
    "four parts": f"pat_{IDS}_{'a' * 49}_{'a' * 50}",
    "ids in two parts": f"pat_A_{'A' * 41}=_{SECRET}",
    "31 bytes": f"pat_{'A' * 42}==_{SECRET}",
    "33 bytes": f"pat_{'A' * 44}_{SECRET}",
    "no padding": f"pat_{'A' * 43}_{SECRET}",
    "base64url": f"pat_{'-' * 43}=_{SECRET}",
    "no base64": f"pat_{'!' * 43}=_{SECRET}",
    "a short secret": f"pat_{IDS}_{SECRET[1:]}",
    "a long secret": f"pat_{IDS}_{SECRET}a",
    "other letters": f"pat_{IDS}_{'é' * 100}",
    "a blank": f"pat_{IDS}_{'a' * 99} ",
    "a control character": f"pat_{IDS}_{'a' * 99}\x7f",
    "a JWT's form": "pat.pat.pat",
}


@dataclass
class Counted:
    """A service, and an Auth that only this service calls."""

    service: Service
    server: AuthServer

    @property
    def calls(self) -> int:
        """Return how often Auth was asked about a token. Auth logs a call before it answers."""
        lines = [json.loads(line) for line in self.server.log.read_text().splitlines() if line.startswith("{")]
        return sum(str(line.get("method", "")).endswith("Authenticate") for line in lines)


@pytest.fixture(params=["EdDSA", "HS256", "HS512"])
def counted(
    service: Service, make_auth: Callable[..., AuthServer], request: pytest.FixtureRequest
) -> Iterator[Counted]:
    variables = {"MG_AUTH_KEYS_ALGORITHM": request.param}
    if request.param != "EdDSA":
        variables["MG_AUTH_SECRET_KEY"] = "k" * 64
    server = make_auth(**variables)
    elsewhere = service.asking(server, **variables)
    with elsewhere.configured():
        yield Counted(elsewhere, server)


def test_s58_no_malformed_one_reaches_auth(counted: Counted) -> None:
    for what, token in MALFORMED.items():
        assert counted.service.call("view_profile", token=token).error == REFUSED, what
        assert counted.calls == 0, what


@pytest.mark.long
def test_s58_none_with_a_character_less_or_more_reaches_auth(counted: Counted) -> None:
    user = counted.service.register()
    pat = counted.service.auth_command("pat", user["id"])
    asked = counted.calls
    for place in range(3, len(pat)):
        assert counted.service.call("view_profile", token=pat[:place] + pat[place + 1 :]).status == 401
        assert counted.service.call("view_profile", token=f"{pat[:place]}x{pat[place:]}").status == 401
    assert counted.calls == asked
    assert counted.service.call("view_profile", token=pat).status == 200
    assert counted.calls == asked + 1, "the log shows the calls"


def test_s58_wherever_a_bearer_is_read(counted: Counted) -> None:
    service = counted.service
    assert refresh(service, "pat").error == REFUSED
    assert service.call("register_user", registration(role="admin"), token="pat").error == (403, "not_administrator")
    passwords = {"password": "another 9 staple horse", "confirm_password": "another 9 staple horse"}
    assert service.call("reset_password", passwords, token="pat").error == (400, "invalid_verification")
    with service.configured(MG_USERS_REGISTRATIONS_PER_HOUR="1"):
        statuses = [
            service.call("register_user", registration(), token="pat", address="192.0.2.58").status for _ in range(2)
        ]
    assert statuses[-1] == 429
    assert counted.calls == 0
