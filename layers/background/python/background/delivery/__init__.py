"""Delivery of the outbox: the relay, and its channels for events, relations and revocations."""
