"""Tests of the local Auth service: real processes, a real PostgreSQL, real gRPC calls."""
