"""Magistrala's UsersService over gRPC, for other services (contract §5.7): a process beside the stack.

API Gateway does not support gRPC. The packages are in requirements-local.txt, not in the layers.
"""
