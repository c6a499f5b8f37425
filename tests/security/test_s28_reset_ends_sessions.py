"""S28 A reset does not log in, ends all sessions, and notifies the address."""

from tests.people import NEW_PASSWORD, deliver, is_alive, logged_in, mail_token, mails, person, refresh
from tests.service import Service


def test_s28_a_reset(service: Service) -> None:
    ada = person(service)
    other = logged_in(service, ada)
    service.execute("DELETE FROM users_outbox WHERE user_id = %s", ada.id)
    token = mail_token(service, ada, "password_reset")
    answer = service.call("reset_password", {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}, token=token)
    assert answer.json == {}
    assert "set-cookie" not in {name.lower() for name in answer.headers}
    for session in (ada, other):
        assert not is_alive(service, session.token)
        assert refresh(service, session.refresh_token).error == (401, "unauthenticated")
    assert mails(service, ada.id) == [("password_changed", ada.email)]
    deliver("revocation")
    again = logged_in(service, ada, NEW_PASSWORD)
    assert len(service.call("list_refresh_tokens", token=again.token).json["refresh_tokens"]) == 1


def test_s28_a_reset_by_the_page(service: Service) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    form = f"token={token}&password=another+9+staple+horse&confirm_password=another+9+staple+horse"
    headers = {"content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
    answer = service.call("reset_password", method="POST", raw=form, headers=headers)
    assert answer.status == 200
    assert "set-cookie" not in {name.lower() for name in answer.headers}
    assert not is_alive(service, ada.token)
