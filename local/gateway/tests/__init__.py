"""Tests of the gateway: real processes over loopback, with small functions of their own (fixtures)."""
