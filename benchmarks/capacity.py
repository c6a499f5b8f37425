"""The use of a stack's resources under so many logins a minute: prints the table of docs/performance.md.

    python3 benchmarks/capacity.py

Replace the figures by measurements of your own machine, and the parameters by those of your own stack.
"""

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

LOGINS_A_MINUTE = (10, 1_000, 100_000)

# Milliseconds of a warm login (`make durations`), and of PostgreSQL's CPU in it (`make load`).
LOGIN, DATABASE = 24.8, 2.95
# Events that one run of the relay delivers in a second, if each put takes 20 ms (benchmarks/relay.py).
RELAY = 1870
# AWS' defaults for an account: functions at once ("Lambda quotas", new accounts have fewer), and requests a second of API
# Gateway. The sandbox of SES allows one mail a second and 200 a day. Outside, each account has its own quota.
CONCURRENCY, API_REQUESTS, SANDBOX_MAILS = 1000, 10_000, 1
# One Aurora capacity unit has so many connections (Aurora guide, "Maximum connections for Aurora Serverless v2": one unit
# has 189, 16 units have 3 360, with DbMinCapacity 0.5 at most 2 000). AWS does not publish its processors: a db.r6g.large
# has two processors and the memory of eight units.
CONNECTIONS_OF_UNIT, MOST_CONNECTIONS_OF_HALF, PROCESSORS_OF_UNIT = 200, 2000, 0.25

TEMPLATE = (Path(__file__).parents[1] / "template.yaml").read_text()


def parameter(name: str) -> float:
    """Return the default of a parameter of template.yaml."""
    found = re.search(rf"^  {name}:\n(?:    .*\n)*?    Default: ([\d.]+)$", TEMPLATE, re.MULTILINE)
    if found is None:
        raise ValueError(f"template.yaml has no number {name}")
    return float(found[1])


@dataclass(frozen=True)
class Resource:
    """A resource that logins use: its limit, its use at one login a second, and how to get more."""

    name: str
    limit: float
    unit: str
    used_at_a_login_a_second: float
    more: str

    def row(self) -> str:
        """Return a line of the table. A use above the limit is bold."""
        cells = []
        for each in LOGINS_A_MINUTE:
            used = each / 60 * self.used_at_a_login_a_second
            text = _number(used)
            cells.append(f"**{text}**" if used > self.limit else text)
        most = self.limit / self.used_at_a_login_a_second * 60
        return f"| {self.name} | {f'{_number(self.limit)} {self.unit}'.strip()} | {' | '.join(cells)} | {_number(most)} | {self.more} |"


def _number(value: float) -> str:
    """Return a number with two significant digits, or as a whole number from 10 to 10 000. A blank separates thousands."""
    if value >= 10_000:
        value = round(value, 2 - len(str(int(value))))
    return f"{value:,.0f}".replace(",", " ") if value >= 10 else f"{value:.2g}"


def resources() -> list[Resource]:
    """Return the resources in the order in which a login uses them."""
    units = parameter("DbMaxCapacity")
    connections = units * CONNECTIONS_OF_UNIT
    if parameter("DbMinCapacity") < 1:
        connections = min(connections, MOST_CONNECTIONS_OF_HALF)
    seconds = LOGIN / 1000
    return [
        Resource("route, `HashingRateLimit`", parameter("HashingRateLimit"), "a second", 1, "the parameter"),
        Resource("API Gateway", API_REQUESTS, "a second", 1, "a quota of the account"),
        Resource("functions at once", CONCURRENCY, "", seconds, "a quota of the account"),
        Resource("connections of Aurora", connections, "", seconds, "`DbMaxCapacity`, `DbProxy=true`"),
        Resource("processors of Aurora", units * PROCESSORS_OF_UNIT, "", DATABASE / 1000, "`DbMaxCapacity`"),
        Resource(
            "mails of SES in the sandbox, one a registration", SANDBOX_MAILS, "a second", 1, "leaving the sandbox"
        ),
        Resource("events by one relay", RELAY, "a second", 1, "nothing: events wait in the outbox"),
    ]


if __name__ == "__main__":
    columns = [f"{_number(each)} a minute" for each in LOGINS_A_MINUTE]
    header = ["resource", "there is", *columns, "ends at, logins a minute", "more by"]
    print(f"| {' | '.join(header)} |\n|---|---:|{'---:|' * (len(columns) + 1)}---|")
    print(*(each.row() for each in resources()), sep="\n")
    rate = max(LOGINS_A_MINUTE) / 60
    print(f"\n{_number(max(LOGINS_A_MINUTE))} logins a minute need HashingRateLimit={ceil(rate)}, and DbMaxCapacity="
          f"{ceil(rate * DATABASE / 1000 / PROCESSORS_OF_UNIT)}.")  # fmt: skip
