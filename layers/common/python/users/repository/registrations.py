"""Counting self-registrations against the limits of the networks that they come from (S10, S46)."""

from users.repository.database import query
from users.repository.throttles import COUNT_HITS
from users.rules.networks import WIDE_FACTOR, networks_of


def count_registration(address: str, most: int) -> int | None:
    """Count a registration from an address: None, or the seconds until there is room.

    Its near network has room for ``most`` in an hour, its wide one for ``WIDE_FACTOR`` times as many.
    """
    statement = f"""
        WITH wanted AS MATERIALIZED (
            SELECT 'register:' || network AS key, NULL::varchar AS user_id, most, 3600 AS seconds
            FROM (VALUES (%(near)s::text, %(most)s::int), (%(wide)s, %(most_wide)s)) AS limits(network, most)
            WHERE network <> ''
        ), {COUNT_HITS}
        SELECT allowed, retry_after FROM throttle"""
    networks = networks_of(address)
    parameters = {"near": networks.near, "most": most, "wide": networks.wide, "most_wide": most * WIDE_FACTOR}
    row = query(statement, parameters, read_only=False)[0]
    return None if row["allowed"] else int(row["retry_after"])
