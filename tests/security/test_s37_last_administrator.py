"""S37 No account enables itself. The last enabled administrator stays, also if two requests come at once."""

from typing import Any

import pytest

from tests.parallel import Environments
from tests.people import Person, administrator, person, relations, row
from tests.service import Answer, Service


@pytest.mark.parametrize("status", [1, 2], ids=["disabled", "deleted"])
def test_s37_nobody_enables_himself(service: Service, status: int) -> None:
    """Upstream allows it while a token is valid (contract §9 S7)."""
    for who in (person(service), administrator(service)):
        service.execute("UPDATE users SET status = %s WHERE id = %s", status, who.id)
        assert service.call("enable_user", token=who.token, user_id=who.id).error == (401, "unauthenticated")
        assert row(service, who.id)["status"] == status


def going(operation: str, who: Person, whom: Person) -> dict[str, Any]:
    """Return the call by which ``who`` disables, deletes or demotes ``whom``."""
    body = {"role": "user"} if operation == "update_user_role" else None
    return {"operation": operation, "body": body, "token": who.token, "user_id": whom.id}


OPERATIONS = ["disable_user", "delete_user", "update_user_role"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_s37_the_last_one_stays(own_service: Service, operation: str) -> None:
    boss = administrator(own_service)
    for inactive in (1, 2):
        other = administrator(own_service)
        own_service.execute("UPDATE users SET status = %s WHERE id = %s", inactive, other.id)
    assert own_service.call(**going(operation, boss, boss)).error == (409, "last_administrator")
    stored = row(own_service, boss.id)
    assert (stored["role"], stored["status"]) == (1, 0)
    assert relations(own_service, boss.id) == {"member", "administrator"}


@pytest.mark.parametrize("each", ["himself", "the other one"])
@pytest.mark.parametrize("operations", [(name, name) for name in OPERATIONS] + [("disable_user", "update_user_role")])
def test_s37_one_of_the_last_two_is_left(
    own_service: Service, environments: Environments, operations: tuple[str, str], each: str
) -> None:
    """Again and again, each disables, deletes or demotes the other at the same moment."""
    for _ in range(3):
        own_service.execute("UPDATE users SET role = 0")
        two = [administrator(own_service), administrator(own_service)]
        targets = two if each == "himself" else two[::-1]
        calls = [going(name, who, whom) for name, who, whom in zip(operations, two, targets, strict=True)]
        answers: list[Answer] = environments.call(own_service, calls)
        enabled = own_service.execute("SELECT id FROM users WHERE role = 1 AND status = 0")
        assert len(enabled) == 1, [answer.text for answer in answers]
        assert relations(own_service, enabled[0]["id"]) == {"member", "administrator"}
        assert sorted(answer.status for answer in answers)[0] in {200, 204}
        assert sorted(answer.status for answer in answers)[1] in {401, 403, 409}
