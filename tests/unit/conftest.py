"""Unit tests start with the default of every variable, whatever ran in this process before."""

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
    """Return a function that sets variables and forgets the settings read before."""

    def _configure(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        forget()

    return _configure
