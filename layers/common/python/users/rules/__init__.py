"""Rules for passwords, addresses, names, queries and outbox records. No module here does input or output."""
