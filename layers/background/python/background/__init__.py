"""Code outside the request path: delivery of the outbox, removal, setup, commands, the gRPC service."""
