"""Rules of the domain: what a password, an address, a name, a query or an outbox record must be. No input or output."""
