"""Parts of statements about ``users_mail_suppressions``, whose addresses are bare and in lower case."""


def mailbox(stored: str) -> str:
    """The bare address, in lower case, of what an SQL expression holds, which may be ``Ada <ada@example.com>``."""
    angle, bare = "<([^<>]*)>[[:space:]]*$", "[^[:space:]]+@[^[:space:]]+"
    return f"lower(COALESCE(substring({stored} FROM '{angle}'), substring({stored} FROM '{bare}'), {stored}))"


def is_suppressed(stored: str) -> str:
    """The condition that the address in an SQL expression gets no mails."""
    return (
        f"EXISTS (SELECT FROM users_mail_suppressions s WHERE s.address = {mailbox(stored)} AND s.expires_at > now())"
    )
