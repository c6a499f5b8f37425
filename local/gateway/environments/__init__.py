"""Execution environments: the processes that run functions, and a pool of them for each function."""
