"""gRPC: grpc.health.v1, as Auth and SpiceDB serve it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grpc_health.v1 import health, health_pb2, health_pb2_grpc

if TYPE_CHECKING:
    import grpc


def add_health(server: grpc.Server, name: str) -> None:
    """Answer SERVING for the service's name and for "" as long as the process runs."""
    servicer = health.HealthServicer()
    for service in (name, ""):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
