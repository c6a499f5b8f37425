"""S32 A user lists and revokes its own refresh tokens. Another user's token id answers 404."""

from tests.people import claims, logged_in, person, refresh
from tests.service import Service


def test_s32_own_ones_only(service: Service) -> None:
    """Upstream revokes any id (contract §9 S10)."""
    ada, bob = person(service), person(service)
    second = logged_in(service, ada)
    listed = service.call("list_refresh_tokens", token=ada.token).json["refresh_tokens"]
    assert {each["id"] for each in listed} == {claims(each.refresh_token)["jti"] for each in (ada, second)}
    body = {"token_id": claims(ada.refresh_token)["jti"]}
    assert service.call("revoke_refresh_token", body, token=bob.token).error == (404, "not_found")
    assert refresh(service, ada.refresh_token).status == 201
    assert service.call("revoke_refresh_token", body, token=second.token).status == 204
    assert refresh(service, ada.refresh_token).error == (401, "unauthenticated")
    assert refresh(service, second.refresh_token).status == 201
