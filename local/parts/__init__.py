"""The real programs that the service talks to, each as a class: start(), wait_ready(), stop(), restart(), kill().

For `make run` (local/supervisor.py) and for tests alike: each is also a context manager that starts and stops it. Start
a part from a thread that lives as long as it shall: Linux ends it together with the thread (local/serving/bound.py).
"""

from local.parts.auth import AuthPorts, AuthServer
from local.parts.gateway import Gateway
from local.parts.mail import MailServer
from local.parts.nats import NatsServer
from local.parts.postgres import PostgresServer, temporary_postgres
from local.parts.process import Part, PartFailed

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
