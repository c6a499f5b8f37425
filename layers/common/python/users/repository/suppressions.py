"""Expressions about ``users_mail_suppressions``, whose addresses are bare and in lower case, and their removal."""

from users.repository.statements import Part


def mailbox(stored: str) -> str:
    """Return the bare address in lower case of an SQL expression, whose value may be ``Ada <ada@example.com>``."""
    angle, bare = "<([^<>]*)>[[:space:]]*$", "[^[:space:]]+@[^[:space:]]+"
    return f"lower(COALESCE(substring({stored} FROM '{angle}'), substring({stored} FROM '{bare}'), {stored}))"


def is_suppressed(stored: str) -> str:
    """Return the condition that the address in an SQL expression gets no mails."""
    return (
        f"EXISTS (SELECT FROM users_mail_suppressions s WHERE s.address = {mailbox(stored)} AND s.expires_at > now())"
    )


# Suppressions of the addresses of removed accounts. A cascade deletes suppressions of their earlier addresses.
REMOVE_SUPPRESSIONS = Part(
    "suppressions",
    f"""
    DELETE FROM users_mail_suppressions s USING changed WHERE s.address = {mailbox("changed.email")}""",
    needs={"changed": ("email",)},
)
