"""Alembic's entry: every migration in a transaction of its own, recorded in ``users_migrations``."""

from alembic import context

from background.setup.versions import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
