"""GET /password/policy: the rules for new passwords, for forms and password managers (decisions.md 27, 44).

They are the settings of the service, which anybody meets by trying. The answer names no account, and needs no database.
"""

from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.rules import password_policy
from users.settings import settings

_HEADERS = {"Cache-Control": "public, max-age=300"}


@operation("password_policy", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:  # noqa: ARG001 -- every operation takes its request
    """Answer the rules. What the pattern does not tell for certain is left out."""
    least, most = password_policy.lengths()
    told = {
        "min_length": least,
        "max_length": most,
        "passwordrules": password_policy.password_rules(),
    }
    policy = {
        "pattern": settings().pass_regex,
        "max_bytes": password_policy.MAX_BYTES,
        "refuses_common": settings().pass_common_check,
        "refuses_names": True,
    }
    return Reply(200, policy | {name: value for name, value in told.items() if value}, _HEADERS)
