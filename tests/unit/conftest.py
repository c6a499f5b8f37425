"""Unit tests see the defaults of every variable, whatever ran in this process before."""

import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.service import forget

settings.register_profile(
    "tests", deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.load_profile("tests")


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("MG_", "AWS_")) or name == "OUTBOX_FUNCTION":
            monkeypatch.delenv(name)
    forget()
    yield
    forget()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set variables; what was read before is forgotten."""

    def _configure(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        forget()

    return _configure
