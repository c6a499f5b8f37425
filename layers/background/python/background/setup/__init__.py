"""Setup: the schema, the database's roles, the first administrator, checks of a new deployment."""
