"""The alarms: none rings because a stack is new, none flaps, and each watches an existing metric."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.template.cloudformation import ROOT, dumped, intrinsics, made, resources, template

ALARMS = sorted(resources("AWS::CloudWatch::Alarm"))
# The first failure ends a deployment.
AT_ONCE = {"FailuresAlarm"}
# These states last until a person repairs them, so one evaluation is enough.
LASTING = {"OutboxParkedAlarm", "DeadLettersAlarm", "BounceRateAlarm", "ComplaintRateAlarm"}


def alarm(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = template()["Resources"][name]["Properties"]
    return properties


def watched(name: str) -> Iterator[dict[str, Any]]:
    """Yield the metrics of an alarm, whether it has one or several."""
    properties = alarm(name)
    if "Metrics" not in properties:
        yield properties
    for each in computed(name):
        if "MetricStat" in each:
            yield each["MetricStat"]["Metric"]


def computed(name: str) -> list[dict[str, Any]]:
    """Return the metrics and expressions of an alarm."""
    return [intrinsics().choose(each) for each in alarm(name).get("Metrics", [])]


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_does_not_ring_because_the_stack_is_new(name: str) -> None:
    """A new stack has no data. `breaching` would make that an alarm at once."""
    assert alarm(name)["TreatMissingData"] in {"notBreaching", "ignore", "missing"}


@pytest.mark.parametrize("name", ALARMS)
def test_silence_is_told_by_the_loss_of_data(name: str) -> None:
    actions = alarm(name).get("InsufficientDataActions", [])
    assert actions == ([{"Ref": "AlarmTopic"}] if alarm(name)["TreatMissingData"] == "missing" else [])


def test_a_delivery_that_does_not_run_is_told() -> None:
    assert alarm("OutboxAgeAlarm")["TreatMissingData"] == "missing"


@pytest.mark.parametrize("name", ALARMS)
def test_one_bad_moment_is_no_alarm(name: str) -> None:
    """Exceptions are lasting states, and functions, whose first error ends a deployment."""
    periods = alarm(name).get("DatapointsToAlarm", alarm(name)["EvaluationPeriods"])
    assert (periods == 1) == (name in LASTING | AT_ONCE)


@pytest.mark.parametrize("name", sorted(name for name in ALARMS if "Metrics" in alarm(name)))
def test_an_alarm_that_computes_returns_one_series(name: str) -> None:
    metrics = computed(name)
    assert [each["Id"] for each in metrics if each.get("ReturnData", True)] == [metrics[0]["Id"]]
    ids = {each["Id"] for each in metrics}
    for each in metrics:
        if "Expression" in each:
            expression = each["Expression"]
            text = expression if isinstance(expression, str) else expression["Fn::Sub"][0]
            known = {"SUM", "METRICS", "MAX", "IF", "SERVICE_QUOTA", "DbMaxCapacity", "Most"}
            assert set(re.findall(r"[A-Za-z_]+", text)) <= ids | known
    assert len({each["MetricStat"]["Period"] for each in metrics if "MetricStat" in each}) == 1


@pytest.mark.parametrize("name", ["ServerErrorsAlarm", "FailedLoginsAlarm", "TooManyRequestsAlarm"])
def test_a_share_of_few_is_no_alarm(name: str) -> None:
    assert re.fullmatch(r"IF\(\w+ > [25]0, 100 \* \w+ / \w+, 0\)", alarm(name)["Metrics"][0]["Expression"])


def test_own_metrics_are_those_that_the_service_writes() -> None:
    code = "".join(file.read_text() for folder in ("layers", "functions") for file in (ROOT / folder).rglob("*.py"))
    own = [metric for name in ALARMS for metric in watched(name) if metric["Namespace"] == "Users"]
    assert {metric["MetricName"] for metric in own} == {
        *("AccountsSwept", "LoginsFailed", "OutboxAge", "OutboxParked", "Requests"),
    }
    for metric in own:
        assert f'"{metric["MetricName"]}"' in code
        dimensions = {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        assert dimensions.keys() == {"service", "operation"}
        assert (ROOT / "functions" / dimensions["operation"]).is_dir()


def test_the_alarms_of_an_idle_stack_cost_three_dollars_at_most() -> None:
    """Each metric of each alarm costs 0.10 USD a month, also the metrics in an expression."""
    assert sum(len(list(watched(name))) for name in ALARMS) <= 30


def test_429_are_counted_where_api_gateways_own_are_seen() -> None:
    """Such answers reach no function, but the access log contains all of them."""
    counter = template()["Resources"]["TooManyRequestsFilter"]["Properties"]
    assert counter["LogGroupName"] == {"Ref": "AccessLogGroup"}
    (stage,) = resources("AWS::ApiGatewayV2::Stage").values()
    assert '"status":"$context.status"' in stage["Properties"]["AccessLogSettings"]["Format"]
    assert counter["FilterPattern"] == '{ $.status = "429" }'
    (counted,) = counter["MetricTransformations"]
    (refused, _) = watched("TooManyRequestsAlarm")
    assert (refused["Namespace"], refused["MetricName"]) == (counted["MetricNamespace"], counted["MetricName"])
    assert "AWS::StackName" in dumped(counted["MetricNamespace"])


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [({}, 189 * 4, 2000), ({"DbMinCapacity": "1", "DbMaxCapacity": "16"}, 189 * 16, 5000)],
)
def test_connections_are_seen_against_the_databases_limit(given: dict[str, str], least: int, most: int) -> None:
    """The lower of the two numbers of connections is 100 %."""
    expression = intrinsics(**given).resolve(alarm("DatabaseConnectionsAlarm")["Metrics"][0])["Expression"]
    found = re.fullmatch(r"100 \* MAX\(\[connections / \((\d+) \* (\d+)\), connections / (\d+)\]\)", expression)
    assert found is not None
    assert (int(found[1]) * int(found[2]), int(found[3])) == (least, most)


def test_concurrency_is_seen_against_the_accounts_quota() -> None:
    (metric,) = watched("ConcurrencyAlarm")
    assert alarm("ConcurrencyAlarm")["Metrics"][0]["Expression"] == "100 * concurrent / SERVICE_QUOTA(concurrent)"
    assert (metric["Namespace"], metric["MetricName"]) == ("AWS/Usage", "ResourceCount")  # the metric with a quota
    assert {each["Name"]: each["Value"] for each in metric["Dimensions"]} == {
        "Service": "Lambda",
        "Type": "Resource",
        "Resource": "ConcurrentExecutions",
        "Class": "None",
    }


def test_a_database_that_cannot_grow_has_no_alarm_of_its_capacity() -> None:
    """Such a database always uses all of its capacity."""
    assert "DatabaseCapacityAlarm" in made()
    assert "DatabaseCapacityAlarm" not in made(DbMinCapacity="2", DbMaxCapacity="2")


def test_the_sweep_may_miss_26_hours_of_a_stack_that_is_there() -> None:
    properties = alarm("SweepAlarm")
    ended, there, sweeps, runs = properties["Metrics"]
    assert sweeps["MetricStat"]["Period"] * properties["EvaluationPeriods"] == 26 * 3600
    assert sweeps["MetricStat"]["Period"] >= 3600  # otherwise CloudWatch evaluates one day at most
    # An hour without a delivery has no value. An hour with deliveries has 0 until a sweep ends.
    assert (ended["Expression"], there["Expression"]) == ("SUM([sweeps, there])", "0 * runs")
    assert runs["MetricStat"]["Metric"]["Dimensions"][1]["Value"] == "deliver_outbox"
    assert (properties["ComparisonOperator"], properties["Threshold"]) == ("LessThanThreshold", 1)
