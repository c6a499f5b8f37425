"""Code outside the request path: delivery of the outbox, removal, setup, commands, the gRPC service."""

import users  # noqa: F401 -- it switches the garbage collection off, so it comes before psycopg, alembic and others
