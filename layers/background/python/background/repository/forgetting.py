"""Useless rows: old rows about accounts that stay (S56), expired limits and expired suppressions."""

from dataclasses import dataclass

from users.repository.database import query
from users.repository.statements import Statement

_BATCH = 1000
_KEPT = "now() - interval '30 days'"


@dataclass(frozen=True, slots=True)
class OldRows:
    """The rows of a table that meet a condition, which an index finds."""

    table: str
    condition: str

    @property
    def statement(self) -> Statement:
        """Delete a batch. A locked row is in use, and is left for the next run.

        The statement finds rows by their places (``ctid``), because upstream's table has no key. A locked row does not
        move.
        """
        return Statement(
            f"forget_{self.table.removeprefix('users_')}",
            f"""
        WITH deleted AS (
            DELETE FROM {self.table} WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM {self.table} WHERE {self.condition} LIMIT {_BATCH} FOR UPDATE SKIP LOCKED)) RETURNING 1
        )
        SELECT count(*) AS rows FROM deleted""",
        )


@dataclass(frozen=True, slots=True)
class ExpiredRows:
    """The rows of a table whose ``expires_at`` is over."""

    table: str
    key: str

    @property
    def statement(self) -> Statement:
        """Delete a batch."""
        return Statement(
            f"forget_expired_{self.table.removeprefix('users_')}",
            f"""
        WITH deleted AS (
            DELETE FROM {self.table} WHERE {self.key} IN (
                SELECT {self.key} FROM {self.table} WHERE expires_at < now() LIMIT {_BATCH} FOR UPDATE SKIP LOCKED)
            RETURNING 1
        )
        SELECT count(*) AS rows FROM deleted""",
        )


# A known address counts for 30 days, and a login writes its time up to an hour late (users.repository.known_addresses).
# The link of a mail is stored for 30 days after its end, so that a late visitor reads that it has expired.
# After that it is like a link that never existed. Upstream's rows may lack a time.
OLD_ROWS = (
    OldRows("users_known_addresses", f"logged_in_at < {_KEPT} - interval '1 hour'"),
    OldRows("users_one_time_tokens", f"expires_at < {_KEPT}"),
    OldRows("users_verifications", f"COALESCE(expires_at, created_at, '-infinity') < {_KEPT}"),
)
# Limits, because the digests of names in their keys are personal data, and addresses that may get mails again.
EXPIRED_ROWS = (ExpiredRows("users_throttle", "key"), ExpiredRows("users_mail_suppressions", "address"))


def forget(rows: OldRows | ExpiredRows) -> int:
    """Delete a batch of rows. Return their number."""
    return int(query(rows.statement, {}, read_only=False)[0]["rows"])
