"""What the operations of the Users service share.

Imports point one way: functions → ``edge`` → (``repository``, ``auth_client``, ``outbox``, ``passwords``) →
(``models``, ``errors``, ``settings``). A module imports a heavy package (psycopg, grpc, pydantic) only where its
subject is that package, so that a function pays at cold start for what its operation uses and for nothing else.
"""
