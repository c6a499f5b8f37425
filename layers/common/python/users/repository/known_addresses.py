"""Network addresses that an account lately logged in from (S8, S47): rows of ``users_known_addresses``."""

from users.repository.statements import Part

# A network counts as known for 30 days after the last login from it. A login writes that time once an hour at most, so
# most logins write one row less. The hour is added to the 30 days.
_KNOWN_FOR = "interval '30 days 1 hour'"
_REFRESHED = "interval '1 hour'"

# The condition that the network ``near`` is a known address of the account ``who``.
IS_KNOWN = f"""EXISTS (
            SELECT FROM users_known_addresses known WHERE known.user_id = who.id
                AND known.address = %(near)s AND known.logged_in_at > now() - {_KNOWN_FOR})"""

REMEMBER_ADDRESS = Part(
    "known",
    f"""
        INSERT INTO users_known_addresses (user_id, address, logged_in_at)
        SELECT id, %(near)s, now() FROM changed
        WHERE NOT EXISTS (
            SELECT FROM users_known_addresses k
            WHERE k.user_id = changed.id AND k.address = %(near)s AND k.logged_in_at > now() - {_REFRESHED})
        ON CONFLICT (user_id, address) DO UPDATE SET logged_in_at = now()""",
    needs={"changed": ("id",)},
)

# A stranger may have registered an account before its mailbox is proven. The account then forgets its known addresses,
# because it accepts more wrong passwords from known addresses (S8).
FORGET_ADDRESSES = Part(
    "unknown",
    "DELETE FROM users_known_addresses WHERE user_id = (SELECT id FROM proven)",
    needs={"proven": ("id",)},
)
