"""What docs/ and README.md tell of settings, parameters and costs is what there is."""

import re
from pathlib import Path

from local.docs.tables import CONFIGURATION, COST, pages, setting_row
from local.gateway.settings import read_settings
from local.ports import DEFAULTS
from tests.template.cloudformation import resources
from users.settings import Settings

README = Path(__file__).parents[2] / "README.md"
LOCAL_ROW = re.compile(r"^\| `(\w+)` \| (?:`(.*)`|.*) \| .* \|$", re.MULTILINE)


def test_the_generated_tables_are_up_to_date() -> None:
    for page, text in pages().items():
        assert page.read_text() == text, "make generate"


def test_the_costs_are_of_the_alarms_that_there_are() -> None:
    """A metric of an alarm with an expression costs as much as an alarm."""
    alarms = [alarm["Properties"] for alarm in resources("AWS::CloudWatch::Alarm").values()]
    metrics = sum(len([each for each in alarm.get("Metrics", [alarm]) if "Expression" not in each]) for alarm in alarms)
    assert f"| {metrics} alarmed metrics" in COST.read_text()


def test_the_rows_of_the_readme_are_the_settings() -> None:
    table = re.search(r"<!-- settings -->\n(.*)<!-- /settings -->", README.read_text(), re.DOTALL)
    assert table is not None
    head, line, *rows = table[1].splitlines()
    assert (head, line) == ("| variable | default | meaning |", "|---|---|---|")
    known = [setting_row(variable) for variable in Settings.variables()]
    assert rows == [row for row in known if row in rows]
    assert 5 <= len(rows) <= 20


def test_the_local_variables_and_their_defaults() -> None:
    told = dict(LOCAL_ROW.findall(CONFIGURATION.read_text().partition("## This machine")[2]))
    assert {name: told.get(name) for name in DEFAULTS} == {name: str(port) for name, port in DEFAULTS.items()}
    defaults = {name: text for name, text in told.items() if text and name.startswith(("MG_USERS_HTTP", "MG_LOCAL_S"))}
    assert read_settings(defaults) == read_settings({})
    for name in ("MG_LOCAL_IDLE_SECONDS", "MG_LOCAL_PARAMETERS", "RUNTIME"):
        assert read_settings({name: told[name]}) == read_settings({}), name
