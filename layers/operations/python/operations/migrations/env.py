"""Alembic's entry: every migration in a transaction of its own, recorded in ``users_migrations``."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="users_migrations",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
