"""GET /openapi.json: the description of this API. ``python -m local.docs`` writes it as JSON from openapi.yaml."""

from pathlib import Path

from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.edge.static_file import static_file

_DOCUMENT = Path(__file__).with_name("openapi.json").read_text(encoding="utf-8").rstrip("\n")


@operation("openapi", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """Answer the document, or 304 for a client that has this version."""
    return static_file(request, _DOCUMENT, {})
