"""What only bootstrap and the relay need: migrations, the first administrator, delivery of the outbox."""
