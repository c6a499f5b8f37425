"""Which resource of a stack ends first under so many logins a minute: the table of docs/performance.md, on stdout.

    python3 benchmarks/capacity.py

Put in what was measured on your own machine, and the parameters of your own stack.
"""

import re
from dataclasses import dataclass
from math import ceil
from pathlib import Path

LOGINS_A_MINUTE = (10, 1_000, 100_000)

# Milliseconds of a warm login, as `make durations` tells them, and of PostgreSQL's processor in it, as `make load` does.
LOGIN, DATABASE = 24.8, 2.95
# Events that one run of the relay delivers in a second, at 20 ms for each of its puts, as benchmarks/relay.py tells.
RELAY = 1870
# AWS' defaults for an account: functions at once ("Lambda quotas"; new accounts have fewer) and requests a second of API
# Gateway. SES' quota differs by account outside of the sandbox, in which it is one mail a second and 200 a day.
CONCURRENCY, API_REQUESTS, SANDBOX_MAILS = 1000, 10_000, 1
# Of one Aurora capacity unit: connections (Aurora guide, "Maximum connections for Aurora Serverless v2": 189 of one unit,
# 3 360 of 16; 2 000 at most where DbMinCapacity is 0.5), and processors, which AWS does not tell: a db.r6g.large has two,
# and the memory of eight units.
CONNECTIONS_OF_UNIT, MOST_CONNECTIONS_OF_HALF, PROCESSORS_OF_UNIT = 200, 2000, 0.25

TEMPLATE = (Path(__file__).parents[1] / "template.yaml").read_text()


def parameter(name: str) -> float:
    """The default of a parameter of template.yaml."""
    found = re.search(rf"^  {name}:\n(?:    .*\n)*?    Default: ([\d.]+)$", TEMPLATE, re.MULTILINE)
    if found is None:
        raise ValueError(f"template.yaml has no number {name}")
    return float(found[1])


@dataclass(frozen=True)
class Resource:
    """What logins use up: as much at a rate a second, of so much; and what gives more of it."""

    name: str
    limit: float
    unit: str
    used_at_a_login_a_second: float
    more: str

    def row(self) -> str:
        """One line of the table; a use above the limit is bold."""
        cells = []
        for each in LOGINS_A_MINUTE:
            used = each / 60 * self.used_at_a_login_a_second
            text = _number(used)
            cells.append(f"**{text}**" if used > self.limit else text)
        most = self.limit / self.used_at_a_login_a_second * 60
        return f"| {self.name} | {f'{_number(self.limit)} {self.unit}'.strip()} | {' | '.join(cells)} | {_number(most)} | {self.more} |"


def _number(value: float) -> str:
    """Two digits that count, more up to 10 000; thousands with a blank between."""
    if value >= 10_000:
        value = round(value, 2 - len(str(int(value))))
    return f"{value:,.0f}".replace(",", " ") if value >= 10 else f"{value:.2g}"


def resources() -> list[Resource]:
    """Everything that a login goes through, in that order."""
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
