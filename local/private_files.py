"""Files that only their owner may read."""

import os
import secrets
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:  # noqa: PTH123 - a mode
        file.write(text)
    new.replace(path)


def kept_secret(path: Path) -> str:
    """Return the random secret in a file, which the first call writes."""
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32))
    return path.read_text()
