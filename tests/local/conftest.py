"""Directories for parts that run as another user when root starts them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """Yield a directory that PostgreSQL's user can enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="mg-test-", dir="/tmp") as place:
        Path(place).chmod(0o711)
        yield Path(place)
