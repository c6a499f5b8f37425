"""docs/operations.md: its alarms are the stack's, and its SQL does what it says."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.parts.mail import MailServer
from local.parts.postgres import PostgresServer
from tests.bootstrapping import bootstrap, catalog, empty_service
from tests.people import NEW_PASSWORD, logged_in, mail_token, person
from tests.service import Service
from tests.takeover import upstream
from tests.template.cloudformation import resources, template
from users.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
LOCAL_ALONE = {"MG_USERS_HTTP_SERVER_CERT", "MG_USERS_HTTP_SERVER_KEY"}


@pytest.fixture
def empty(postgres: PostgresServer, shared_service: Service) -> Iterator[Service]:
    with empty_service(postgres, shared_service) as service:
        yield service


def sql(name: str) -> list[str]:
    """The statements of a block of the page; one of dollar quotes holds semicolons."""
    found = re.search(rf"<!-- {name} -->\n```sql\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return [text for part in re.split(r"(DO \$\$.*?\$\$;)", found[1], flags=re.DOTALL) for text in statements(part)]


def statements(text: str) -> list[str]:
    return [text] if text.startswith("DO ") else [each for each in text.split(";") if each.strip()]


def run(service: Service, name: str) -> None:
    for statement in sql(name):
        service.execute(statement.replace("%", "%%"))


def test_every_alarm_is_explained_and_no_other() -> None:
    assert set(re.findall(r"^### `(.*)`$", PAGE, re.MULTILINE)) == set(resources("AWS::CloudWatch::Alarm"))


def test_each_best_practice_is_a_setting_that_there_is() -> None:
    section = PAGE.partition("## Best practices\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z][^|]*\.) \| (.*) \|$", section, re.MULTILINE)
    assert len(rows) >= 5
    variables = {variable.name for variable in Settings.variables()} | LOCAL_ALONE
    for practice, told in rows:
        words = [word.partition("=")[0] for word in re.findall(r"`([^`]*)`", told)]
        settings = [word for word in words if word.startswith("MG_") and not word.endswith("*")]
        stack = set(re.findall(r"\(`(\w+)`\)", told))
        assert settings or "SecretArn" in told, practice
        assert set(settings) <= variables, practice
        assert stack <= template()["Parameters"].keys(), practice


def test_the_way_back_leaves_upstreams_tables(empty: Service) -> None:
    upstream.make_database(empty.conninfo)
    users = [upstream.add_user(empty, email=f"{name}@example.com") for name in ("Ada", "ADA")]
    before, rows = catalog(empty), empty.execute("SELECT * FROM users ORDER BY id")
    bootstrap()
    empty.execute("DELETE FROM users WHERE NOT id = ANY(%s)", users)  # the administrator
    run(empty, "down")
    assert catalog(empty) == before
    assert empty.execute("SELECT * FROM users ORDER BY id") == rows
    limits = "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = %s"
    assert empty.execute(limits, empty.environment["MG_USERS_DB_NAME"]) == []
    assert bootstrap()["case_conflicts"] == 1, "it can be taken over again"


def test_the_way_to_upstream_of_a_database_that_was_never_there(empty: Service) -> None:
    bootstrap()
    run(empty, "down")
    run(empty, "ledger")
    ledger = [row["id"] for row in empty.execute("SELECT id FROM gorp_migrations ORDER BY id")]
    assert ledger == [f"clients_{number:02}" for number in range(1, 13)]
    upstream.add_user(empty)


def test_a_new_secret_key_leaves_mailed_links_good(
    service: Service, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = person(service)
    token = mail_token(service, ada, "password_reset")
    with service.configured(MG_USERS_SECRET_KEY="another key of thirty-two characters"):
        body = {"password": NEW_PASSWORD, "confirm_password": NEW_PASSWORD}
        assert service.call("reset_password", body, token=token).status == 201
        assert logged_in(service, ada, NEW_PASSWORD).token
