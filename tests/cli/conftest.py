"""Fixtures of the tests of the commands."""

from collections.abc import Iterator

import pytest

from tests.cli.command_line import stop_forking


@pytest.fixture(scope="session", autouse=True)
def forking_process() -> Iterator[None]:
    yield
    stop_forking()
