"""The programs that the service talks to, each as a class with start(), wait_ready(), stop(), restart() and kill().

`make run` and the tests use them. Each is also a context manager that starts and stops the program. Start a part from a
thread that lives as long as the part: Linux ends both together (local/serving/bound.py).
"""

from local.parts.auth import AuthPorts, AuthServer
from local.parts.gateway import Gateway
from local.parts.launch import PartFailed
from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer, temporary_postgres
from local.parts.process import Part

__all__ = [
    "AuthPorts",
    "AuthServer",
    "Gateway",
    "MailServer",
    "NatsServer",
    "Part",
    "PartFailed",
    "PostgresServer",
    "temporary_postgres",
]
