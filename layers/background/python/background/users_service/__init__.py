"""Magistrala's UsersService over gRPC, for other services (contract §5.7): a process beside the stack.

API Gateway carries no gRPC. Its packages are in requirements-local.txt, and not in the layers.
"""
