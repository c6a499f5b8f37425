"""Gateways for the tests: a shared one, and others with settings of one test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from local.gateway.tests.gateway_process import GatewayProcess
from local.gateway.tests.peer import Peer

StartGateway = Callable[..., GatewayProcess]


@pytest.fixture(scope="session")
def gateway() -> Iterator[GatewayProcess]:
    """Return a gateway that serves fixtures/template.yaml. No test may change its state."""
    with closing(GatewayProcess()) as started:
        yield started


@pytest.fixture
def start_gateway() -> Iterator[StartGateway]:
    """Return a function that starts gateways with given settings."""
    started: list[GatewayProcess] = []

    def start(**options: str) -> GatewayProcess:
        started.append(GatewayProcess(**options))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def http(gateway: GatewayProcess) -> Iterator[httpx.Client]:
    """Return a client of the shared gateway's HTTP API."""
    with gateway.client() as client:
        yield client


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Return the other end of `talk` functions."""
    with Peer() as listening:
        yield listening
