"""GET /openapi.json: the description of this API: openapi.yaml as the JSON that ``python -m local.docs`` wrote."""

from pathlib import Path

from users.access import ANYBODY
from users.edge.http import Reply, Request, operation
from users.edge.static_file import static_file

_DOCUMENT = Path(__file__).with_name("openapi.json").read_text(encoding="utf-8").rstrip("\n")


@operation("openapi", access=ANYBODY)
def lambda_handler(request: Request) -> Reply:
    """The document; 304 when the client's copy is this version of it."""
    return static_file(request, _DOCUMENT, {})
