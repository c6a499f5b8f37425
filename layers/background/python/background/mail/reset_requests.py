"""Turning a wish for a reset mail into the mail, where an enabled account has the address (S4).

Whoever was invited and has no password yet gets the invitation again, which is good for longer than a reset (S62).
"""

from collections.abc import Iterator

from background.delivery.ports import DestinationUnavailable, Outcome, Row
from users.repository.database import query
from users.repository.mails import MAIL_LIMITS
from users.repository.outbox import INSERT_RECORDS, as_rows
from users.repository.throttles import COUNT_HITS
from users.rules import outbox_records
from users.rules.email_addresses import canonical_or_typed
from users.rules.mailboxes import mailbox_digest
from users.rules.outbox_records import Record
from users.settings import SettingsError


class ResetRequestChannel:
    """The database itself: one statement finds the account, writes its mail and event, and deletes the wish."""

    batch = 50
    group = 10

    def deliver(self, rows: list[Row]) -> Iterator[Outcome]:
        """Done with as well: an address that no enabled account has, or that just got such a mail.

        The exact spelling of an address wins over the folded one, and that over the canonical one, by which mails are
        counted: all spellings of a domain are one mailbox (S54).
        """
        statement = f"""
            WITH done AS (
                DELETE FROM users_outbox WHERE seq = %(seq)s RETURNING seq
            ), addressee AS (
                SELECT u.id,
                    u.secret IS NULL AND u.verified_at IS NULL AND COALESCE(u.auth_provider, '') = '' AS is_invited
                FROM users u, done
                WHERE u.status = 0
                    AND (u.email = %(typed)s
                        OR (lower(u.email) IN (lower(%(typed)s), lower(%(email)s)) AND NOT u.case_conflict))
                ORDER BY u.email = %(typed)s DESC, lower(u.email) = lower(%(typed)s) DESC LIMIT 1
            ), {MAIL_LIMITS}, {COUNT_HITS}, changed AS (
                SELECT addressee.id, is_invited FROM addressee, throttle WHERE throttle.allowed
            )
            {INSERT_RECORDS}
            AND r.name <> CASE WHEN changed.is_invited THEN 'password_reset' ELSE 'invitation' END"""
        for row in rows:
            email = row.payload["email"]
            canonical = canonical_or_typed(email)
            try:
                mailbox = mailbox_digest(canonical)
            except SettingsError as error:
                raise DestinationUnavailable(str(error)) from error
            event = outbox_records.event(
                "user.send_password_reset",
                row.payload["request_id"],
                {"host": "", "email": email, "user": ""},
            )
            mails = [Record(channel="mail", name=name, payload={}) for name in ("password_reset", "invitation")]
            parameters = {
                "seq": row.seq,
                "typed": email,
                "email": canonical,
                "mailbox": mailbox,
                "kind": "password_reset",
                "records": as_rows([event, *mails]),
            }
            query(statement, parameters, read_only=False)
            yield Outcome(row)

    def close(self) -> None:
        """Nothing: the connection is everybody's."""
