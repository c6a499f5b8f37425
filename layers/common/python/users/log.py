"""The one logger: JSON lines by Powertools, with the operation and the request id in each.

No line ever holds a body, a token, a password, an address or a query string (security.md S42).
"""

from aws_lambda_powertools.logging import Logger

from users.settings import settings

_LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR"}

logger = Logger(service="users", level=_LEVELS[settings().log_level], utc=True)
