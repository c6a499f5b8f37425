"""Ending the links of an account that mails have carried, with a change of the account (S25, S28)."""

from users.repository.statements import Part

# Ends all links of the account, or those that set a password.
END_LINKS = Part(
    "ended",
    """
        UPDATE users_one_time_tokens SET used_at = now()
        WHERE used_at IS NULL AND user_id = (SELECT id FROM changed)""",
    needs={"changed": ("id",)},
)
END_PASSWORD_LINKS = Part(
    "ended",
    """
        UPDATE users_one_time_tokens SET used_at = now()
        WHERE used_at IS NULL AND purpose IN ('password_reset', 'invitation') AND user_id = (SELECT id FROM changed)""",
    needs={"changed": ("id",)},
)
