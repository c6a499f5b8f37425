"""S11 Unknown identities are throttled like known ones."""

import uuid

from tests.people import log_in, person
from tests.service import Service


def attempts(service: Service, identities: list[str], source: str) -> list[tuple[int, str]]:
    """Return status and body of a failed login with each identity."""
    answers = [log_in(service, identity, "wrong password", address=source) for identity in identities]
    return [(answer.status, answer.text) for answer in answers]


def test_s11_the_same_answers_from_one_address(service: Service) -> None:
    ada, nobody = person(service), f"{uuid.uuid4()}@example.com"
    known = attempts(service, [ada.email, ada.email.upper()] * 3, str(uuid.uuid4()))
    assert attempts(service, [nobody, nobody.upper()] * 3, str(uuid.uuid4())) == known
    assert [status for status, _ in known] == [401] * 5 + [429]


def test_s11_the_same_answers_from_many_addresses(service: Service) -> None:
    nobody = f"{uuid.uuid4()}@example.com"
    statuses = [log_in(service, nobody, "wrong password", address=str(uuid.uuid4())).status for _ in range(31)]
    assert statuses == [401] * 30 + [429]
