"""S2: every refused login costs exactly one argon2id verification, as a successful one does."""

import uuid

import pytest
from nacl import bindings

from tests.service import PASSWORD, Service


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Record the hashes that argon2id verifies from now on. The real function still verifies them."""
    seen: list[bytes] = []
    real = bindings.crypto_pwhash_str_verify

    def count(hashed: bytes, password: bytes) -> bool:
        seen.append(hashed)
        return bool(real(hashed, password))

    monkeypatch.setattr(bindings, "crypto_pwhash_str_verify", count)
    return seen


def test_s02_unknown_identity(service: Service, verifications: list[bytes]) -> None:
    body = {"identity": f"{uuid.uuid4()}@example.com", "secret": PASSWORD}
    assert service.call("issue_token", body).status == 401
    assert len(verifications) == 1


@pytest.mark.parametrize(
    "state", ["role = 0", "status = 1", "status = 2", "secret = NULL", "secret = ''", "role = 1", "verified_at = now()"]
)
def test_s02_wrong_password(service: Service, verifications: list[bytes], state: str) -> None:
    user = service.register()
    service.execute(f"UPDATE users SET {state} WHERE id = %s", user["id"])
    assert service.call("issue_token", {"identity": user["email"], "secret": "wrong"}).status == 401
    assert len(verifications) == 1


def test_s02_the_stand_in_costs_what_a_real_hash_costs(service: Service, verifications: list[bytes]) -> None:
    user = service.register()
    assert service.log_in(user["email"])
    service.call("issue_token", {"identity": f"{uuid.uuid4()}@example.com", "secret": PASSWORD})
    real, stand_in = (hashed.split(b"$")[1:4] for hashed in verifications)
    assert real == stand_in
