"""The stack's cost at AWS' list prices: prints the tables of docs/cost.md.

    python3 benchmarks/cost.py

Replace prices, durations and sizes by your own. The tables do not contain free tiers and discounts.
"""

import re
from pathlib import Path

HOURS = 730  # in a month
# USD, us-east-1, list prices as of June 2026.
ACU_HOUR, STORAGE_GB, PROXY_ACU_HOUR = 0.12, 0.10, 0.015
NAT_HOUR, ADDRESS_HOUR, ENDPOINT_HOUR, NETWORK_GB = 0.045, 0.005, 0.01, 0.045
SECRET, SECRET_READ, ALARM, METRIC, DASHBOARD, LOG_GB, TRACE = 0.40, 5e-6, 0.10, 0.30, 3.00, 0.50, 5e-6
GB_SECOND, CALL, API_CALL, EVENT, MAIL, SCHEDULED = 13.3334e-6, 0.20e-6, 1e-6, 1e-6, 1e-4, 1e-6
WEB_ACL, WEB_ACL_RULE, WEB_ACL_CALL, EDGE_CALL = 5.00, 1.00, 0.6e-6, 1e-6
KMS_KEY = 1.00
SNAPSHOT_GB_SECOND = 1.5046e-6

# Sizes (MB) of the template's two classes, and mean milliseconds of warm calls (`make durations`).
MEMORY, HASHING_MEMORY, WHOLE_PROCESSOR = 512, 1769, 1769
MEASURED = {
    "read of one account": (MEMORY, 2.5),
    "list, search": (MEMORY, 3.9),
    "change of an account": (MEMORY, 4.8),
    "login": (HASHING_MEMORY, 24.8),
    "registration": (HASHING_MEMORY, 17.7),
}
RELAY, IDLE_RELAY = 16.8, 2.0  # deliver_outbox with one event for EventBridge, and with none
WOKEN = (
    100  # milliseconds that a woken run waits for further changes, in which it delivers (background.delivery.lookout)
)
# While more changes come, a run waits on. So many runs and milliseconds belong to each change, by the changes a second
# (benchmarks/relay.py).
WAITING = {10: (0.14, 95), 80: (0.001, 14)}
COLD_START = 200  # of a read (`make cold-start`)
# Bytes of a request's log: metrics line, `answered` with its trace, Lambda's own three lines, access log, and the 26 that
# CloudWatch adds to each line.
LOG_BYTES = 340 + 300 + 400 + 350 + 6 * 26
TRACED = 0.05  # X-Ray takes one request each second, and one in twenty of the others
HASHING_FUNCTIONS = 5  # register_user, issue_token, update_user_secret, reset_password, bootstrap

TEMPLATE = (Path(__file__).parents[1] / "template.yaml").read_text()
FUNCTIONS = len(re.findall("Type: AWS::Serverless::Function", TEMPLATE)) - 1  # check_version runs only at deployments
# Each metric of an alarm costs, also if the alarm computes with several.
ALARMS = len(re.findall(r"Statistic: |MetricStat:", TEMPLATE))


def run(memory: int, milliseconds: float) -> float:
    """Return the cost of a call that computes all the time, which takes longer in a smaller function."""
    return CALL + LOG_BYTES / 1e9 * LOG_GB + time(memory, milliseconds * WHOLE_PROCESSOR / memory)


def time(memory: int, milliseconds: float) -> float:
    """Return the cost of a function's time."""
    return milliseconds / 1000 * memory / 1024 * GB_SECOND


def woken() -> float:
    """Return the cost of a run for one event, which ends after its waiting time, or after a longer delivery."""
    delivery = (RELAY - IDLE_RELAY) * WHOLE_PROCESSOR / MEMORY
    return run(MEMORY, IDLE_RELAY) + time(MEMORY, max(WOKEN, delivery))


def waiting(rate: int) -> float:
    """Return a change's share of the runs that wait for more, at a rate of changes a second."""
    runs, milliseconds = WAITING[rate]
    return runs * run(MEMORY, 0) + time(MEMORY, milliseconds)


def idle() -> dict[str, float]:
    """Return USD a month by part, without any request."""
    snapshots = ((FUNCTIONS - HASHING_FUNCTIONS) * MEMORY + HASHING_FUNCTIONS * HASHING_MEMORY) / 1024
    return {
        "Aurora, 0.5 ACU and 10 GB": 0.5 * ACU_HOUR * HOURS + 10 * STORAGE_GB,
        "NAT gateway and its address (`Egress=nat`)": (NAT_HOUR + ADDRESS_HOUR) * HOURS,
        f"{ALARMS} alarmed metrics, a dashboard": ALARMS * ALARM + DASHBOARD,
        "4 secrets, one of which the relay reads every five minutes": 4 * SECRET + HOURS * 12 * SECRET_READ,
        "4 metrics that always have values": 4 * METRIC,
        "`deliver_outbox` each minute, with log and traces": HOURS * 60 * (run(MEMORY, IDLE_RELAY) + SCHEDULED + TRACE),
        "traffic: the metrics `Requests` and `Latency` of all operations in every hour": 2 * (FUNCTIONS - 1) * METRIC,
        "option: 4 interface endpoints in two zones instead of NAT": 4 * 2 * ENDPOINT_HOUR * HOURS,
        "option: `DbStandby=true`": 0.5 * ACU_HOUR * HOURS,
        "option: each further 0.5 of `DbMinCapacity`": 0.5 * ACU_HOUR * HOURS,
        "option: `DbProxy=true`, at least 8 ACU": 8 * PROXY_ACU_HOUR * HOURS,
        "option: `CloudFront=true` with its web ACL of 4 rules": WEB_ACL + 4 * WEB_ACL_RULE,
        "option: `NatPerZone=true`": (NAT_HOUR + ADDRESS_HOUR) * HOURS,
        "option: `KmsKeyArn`, without its calls": KMS_KEY,
        "option: `SnapStart=true`, one version of each function": snapshots * HOURS * 3600 * SNAPSHOT_GB_SECOND,
    }


def requests() -> dict[str, float]:
    """Return USD for a million requests by kind: API Gateway, function, log, traces."""
    return {kind: 1e6 * (API_CALL + run(*size) + TRACED * TRACE) for kind, size in MEASURED.items()}


def main() -> None:
    """Print the tables."""
    parts = idle()
    fixed = {part: price for part, price in parts.items() if not part.startswith(("option", "traffic"))}
    print("| idle | USD a month |", "|---|---:|", sep="\n")
    print(*(f"| {part} | {price:.2f} |" for part, price in fixed.items()), sep="\n")
    floor = sum(fixed.values())
    print(f"| **the stack as it comes** | **{floor:.2f}** |")
    # A second instance, and 0.5 ACU more for both.
    prod = floor + parts["option: `DbStandby=true`"] + 2 * parts["option: each further 0.5 of `DbMinCapacity`"]
    prod += parts["option: `NatPerZone=true`"] + parts["option: `CloudFront=true` with its web ACL of 4 rules"]
    print(f"| **as `--config-env prod`**: two instances of 1 ACU, two NAT gateways, a web ACL | **{prod:.2f}** |")
    print(*(f"| {part} | {price:.2f} |" for part, price in parts.items() if part not in fixed), sep="\n")
    print("\n| a million requests | milliseconds measured | MB | USD |", "|---|---:|---:|---:|", sep="\n")
    for kind, price in requests().items():
        print(f"| {kind} | {MEASURED[kind][1]} | {MEASURED[kind][0]} | {price:.2f} |")
    cold = 1e4 * (run(MEMORY, COLD_START) - run(MEMORY, 0))
    print(f"| cold starts, one in a hundred requests | {COLD_START} | {MEMORY} | {cold:.2f} |")
    relay = {"by a run of its own": woken(), **{f"at {rate} changes a second": waiting(rate) for rate in WAITING}}
    for how, price in relay.items():
        print(f"| an event on EventBridge, {how} | | {MEMORY} | {1e6 * (EVENT + price):.2f} |")
    for how, price in relay.items():
        print(f"| **a login with its event**, {how} | | | **{requests()['login'] + 1e6 * (EVENT + price):.2f}** |")
    print(f"| a mail by SES | | | {1e6 * MAIL:.2f} |")
    print(f"| CloudFront and AWS WAF before it | | | {1e6 * (EDGE_CALL + WEB_ACL_CALL):.2f} |")
    print(f"| 1 GB through the NAT gateway | | | {NETWORK_GB:.3f} |")


if __name__ == "__main__":
    main()
