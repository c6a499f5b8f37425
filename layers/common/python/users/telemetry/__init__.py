"""Logs, metrics and spans for operators, and the frame of an invocation that writes all three."""
