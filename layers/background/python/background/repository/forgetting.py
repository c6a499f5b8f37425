"""Useless rows: old rows about accounts that stay (S56), expired limits and expired suppressions."""

from dataclasses import dataclass

from users.repository.database import query
from users.repository.statements import Statement

_BATCH = 1000
_KEPT = "now() - interval '30 days'"


@dataclass(frozen=True, slots=True)
class UselessRows:
    """The rows of a table that meet a condition, which an index finds. ``key`` is a column that identifies a row.

    Without a key, the statement finds rows by their places (``ctid``). A locked row does not move.
    """

    table: str
    condition: str
    key: str = "ctid"

    @property
    def statement(self) -> Statement:
        """Delete a batch. A locked row is in use, and is left for the next run."""
        return Statement(
            f"forget_{self.table.removeprefix('users_')}",
            f"""
        WITH deleted AS (
            DELETE FROM {self.table} WHERE {self.key} = ANY(ARRAY(
                SELECT {self.key} FROM {self.table} WHERE {self.condition} LIMIT {_BATCH} FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        )
        SELECT count(*) AS rows FROM deleted""",
        )


# A known address counts for 30 days, and a login writes its time up to an hour late (users.repository.known_addresses).
# The link of a mail is stored for 30 days after its end, so that a late visitor reads that it has expired.
# After that it is like a link that never existed. Upstream's table of verifications has no key, and its rows may lack a
# time.
OLD_ROWS = (
    UselessRows("users_known_addresses", f"logged_in_at < {_KEPT} - interval '1 hour'"),
    UselessRows("users_one_time_tokens", f"expires_at < {_KEPT}"),
    UselessRows("users_verifications", f"COALESCE(expires_at, created_at, '-infinity') < {_KEPT}"),
)
# Limits, because the digests of names in their keys are personal data, and addresses that may get mails again.
EXPIRED_ROWS = (
    UselessRows("users_throttle", "expires_at < now()", key="key"),
    UselessRows("users_mail_suppressions", "expires_at < now()", key="address"),
)


def forget(rows: UselessRows) -> int:
    """Delete a batch of rows. Return their number."""
    return int(query(rows.statement, {}, read_only=False)[0]["rows"])
