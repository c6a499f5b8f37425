"""S56 The sweep forgets known addresses, links and upstream's verifications that are over for 30 days."""

import pytest

from tests.people import log_in, mail_token, person
from tests.service import Service, handler, lambda_context

PROGRAM = {"accept": "application/json"}


def sweep(milliseconds: int = 60_000) -> int:
    forgotten: int = handler("sweep_accounts")({}, lambda_context(milliseconds))["forgotten"]
    return forgotten


def test_s56_addresses_that_nobody_logged_in_from(own_service: Service) -> None:
    ada = person(own_service)
    for days in (29, 31, 400):
        own_service.execute(
            "INSERT INTO users_known_addresses VALUES (%s, %s, now() - %s * interval '1 day')", ada.id, str(days), days
        )
    assert sweep() == 2
    left = own_service.execute("SELECT address FROM users_known_addresses WHERE length(address) < 9")
    assert [each["address"] for each in left] == ["29"]
    assert sweep() == 0


def test_s56_an_address_that_is_used_at_this_moment_stays(own_service: Service) -> None:
    """It was not used for 30 days, and a login from it is about to commit."""
    import psycopg

    ada = person(own_service)
    own_service.execute("UPDATE users_known_addresses SET logged_in_at = now() - interval '31 days'")
    with psycopg.connect(own_service.conninfo) as login:
        login.execute("UPDATE users_known_addresses SET logged_in_at = now() WHERE user_id = %s", [ada.id])
        assert sweep() == 0
    assert sweep() == 0
    assert len(own_service.execute("SELECT user_id FROM users_known_addresses")) == 1


@pytest.mark.parametrize("used", [True, False])
def test_s56_links_of_mails(own_service: Service, used: bool) -> None:
    """Used or not. Whoever opens one within 30 days of its end learns that it is over, not that it never was."""
    ada = person(own_service, verified=False)
    late = mail_token(own_service, ada, "verification", lifetime="-29 days")
    gone = mail_token(own_service, ada, "verification", lifetime="-31 days")
    good = mail_token(own_service, ada, "verification", lifetime="1 hour")
    if used:
        own_service.execute("UPDATE users_one_time_tokens SET used_at = expires_at - interval '1 hour'")
    assert sweep() == 1

    def answer(token: str) -> str:
        return str(own_service.call("verify_email", query=f"token={token}", headers=PROGRAM).error[1])

    assert (answer(late), answer(gone)) == ("verification_expired", "invalid_verification")
    if not used:
        assert own_service.call("verify_email", query=f"token={good}", headers=PROGRAM).status == 200


def test_s56_verifications_of_upstream(own_service: Service) -> None:
    ada = person(own_service)
    cases = {
        "good": ("1 hour", "1 hour"), "late": ("-29 days", "-30 days"), "gone": ("-31 days", "-32 days"),
        "used": ("-40 days", "-41 days"), "endless": (None, "-31 days"), "new": (None, "-1 day"),
        "timeless": (None, None),
    }  # fmt: skip
    for otp, (expires, created) in cases.items():
        own_service.execute(
            "INSERT INTO users_verifications (user_id, email, otp, expires_at, created_at, used_at)"
            " VALUES (%s, %s, %s, now() + %s::interval, now() + %s::interval, CASE WHEN %s = 'used' THEN now() END)",
            ada.id, ada.email, otp, expires, created, otp,
        )  # fmt: skip
    assert sweep() == 4
    left = own_service.execute("SELECT otp FROM users_verifications ORDER BY otp")
    assert [each["otp"] for each in left] == ["good", "late", "new"]


def test_s56_in_batches_until_its_time_is_up(own_service: Service) -> None:
    ada = person(own_service)
    own_service.execute(
        "INSERT INTO users_known_addresses"
        " SELECT %s, n::text, now() - interval '31 days' FROM generate_series(1, 2500) n",
        ada.id,
    )
    assert sweep(29_000) == 0
    assert sweep() == 2500
    assert log_in(own_service, ada.email).status == 201


@pytest.mark.parametrize(
    ("table", "index"),
    [
        ("users_known_addresses", "users_known_addresses_age"),
        ("users_one_time_tokens", "users_one_time_tokens_expiry"),
        ("users_verifications", "users_verifications_expiry"),
    ],
)
def test_s56_what_is_over_is_found_by_an_index(own_service: Service, table: str, index: str) -> None:
    from background.repository.forgetting import OLD_ROWS

    own_service.execute("SET enable_seqscan = off")  # of the kept connection, which ends with this database
    (old,) = (rows for rows in OLD_ROWS if rows.table == table)
    plan = own_service.execute(
        f"EXPLAIN SELECT ctid FROM {table} WHERE {old.condition} LIMIT 1000 FOR UPDATE SKIP LOCKED"
    )
    assert any(index in each["QUERY PLAN"] for each in plan), plan
