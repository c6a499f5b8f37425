"""Answers of files that change only with a release. Clients keep them, and ask whether their copy is current."""

import hashlib
from collections.abc import Mapping
from functools import cache

from users.edge.http import Reply, Request


def static_file(request: Request, content: bytes | str, headers: Mapping[str, str]) -> Reply:
    """Return the file with its ``ETag``, or 304 for a client that has this version (RFC 9110, 13.1.2)."""
    tag = _tag(content)
    kept = {**headers, "ETag": tag, "Cache-Control": "public, max-age=300"}
    known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Reply(304, headers=kept)
    return Reply(200, content, kept)


@cache
def _tag(content: bytes | str) -> str:
    raw = content.encode() if isinstance(content, str) else content
    return f'"{hashlib.sha256(raw).hexdigest()[:32]}"'
