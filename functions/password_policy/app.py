"""GET /password/policy: the rules for new passwords, for forms and password managers (decisions 27, 44).

The rules are settings of the service. Anybody can find them out by trying. The answer needs no database.
"""

from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.rules import password_policy
from users.settings import settings

_HEADERS = {"Cache-Control": "public, max-age=300"}


@operation("password_policy", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:  # noqa: ARG001 -- every operation takes its request
    """Answer the rules. A length that does not follow from the pattern is left out."""
    least, most = password_policy.lengths()
    known = {
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
    return Reply(200, policy | {name: value for name, value in known.items() if value}, _HEADERS)
