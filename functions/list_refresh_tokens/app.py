"""GET /users/tokens/refresh-tokens: the caller's refresh tokens (contract §1.6.5, decisions 25)."""

import json
from typing import Any

from users.access import IN_PERSON_UNVERIFIED
from users.edge.http import Reply, Request, operation
from users.peers import auth
from users.peers.auth import RefreshToken
from users.repository.accounts import find_account

# These fit into Lambda's answer of 6 MB. The answer is JSON in JSON, so a description may double (S50).
_MOST_TOKENS = 20_000
_DESCRIPTIONS_BYTES = 2_000_000


@operation("list_refresh_tokens", access=IN_PERSON_UNVERIFIED)
def lambda_handler(request: Request) -> Reply:
    """Answer ids and descriptions. The token that expires next comes first."""
    account = request.admit(find_account(request.caller.user_id))
    body = _shown(auth.list_refresh_tokens(account.id))
    return Reply(200, body, {"Cache-Control": "no-store"})


def _shown(tokens: list[RefreshToken]) -> dict[str, Any]:
    """Return the body. ``total`` and ``left_out`` show that tokens or the longest descriptions are missing."""
    shown = tokens[:_MOST_TOKENS]
    room, described = _DESCRIPTIONS_BYTES, set[str]()
    for token in sorted(shown, key=lambda token: len(token.description)):
        room -= len(json.dumps(token.description, ensure_ascii=False).encode())
        if room < 0:
            break
        described.add(token.id)
    rows = [
        {"id": token.id, **({"description": token.description} if token.description and token.id in described else {})}
        for token in shown
    ]
    total = {"total": len(tokens)} if len(shown) < len(tokens) else {}
    left_out = {"left_out": ["description"]} if len(described) < len(shown) else {}
    return {"refresh_tokens": rows, **total, **left_out}
