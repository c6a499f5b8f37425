"""Counting self-registrations against the limits of the networks that they come from (S10, S46)."""

from users.repository.database import query
from users.repository.statements import Part, Statement
from users.repository.throttles import COUNT_HITS
from users.rules.networks import WIDE_FACTOR, networks_of

_COUNT_REGISTRATION = Statement(
    "count_registration",
    Part(
        "wanted",
        """
            SELECT 'register:' || network AS key, NULL::varchar AS user_id, most, 3600 AS seconds
            FROM (VALUES (%(near)s::text, %(most)s::int), (%(wide)s, %(most_wide)s)) AS limits(network, most)
            WHERE network <> ''""",
        gives=("key", "user_id", "most", "seconds"),
        materialized=True,
    ),
    *COUNT_HITS,
    "SELECT allowed, retry_after FROM throttle",
)


def count_registration(address: str, most: int) -> int | None:
    """Count a registration from an address. Return None, or the seconds until another registration is allowed.

    The near network has ``most`` registrations in an hour, the wide network ``WIDE_FACTOR`` times as many.
    """
    networks = networks_of(address)
    parameters = {"near": networks.near, "most": most, "wide": networks.wide, "most_wide": most * WIDE_FACTOR}
    row = query(_COUNT_REGISTRATION, parameters, read_only=False)[0]
    return None if row["allowed"] else int(row["retry_after"])
