"""Clients of the services beside this one: Auth, SpiceDB, Domains."""
