"""The logger of all functions: Powertools' JSON lines, each with the operation and the request id.

No line ever contains a body, a token, a password, an address or a query string (S42).
"""

import os

from aws_lambda_powertools.logging import Logger

from users.parsers import LOG_LEVELS

# Not settings().log_level, because settings() raises for any wrong variable, and a function must be able to log that.
logger = Logger(service="users", level=LOG_LEVELS.get(os.environ.get("MG_USERS_LOG_LEVEL", ""), "INFO"), utc=True)


def place(error: BaseException) -> list[str]:
    """Return file, line and function of each frame of the traceback, the newest frame last."""
    places, traceback = [], error.__traceback__
    while traceback:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places
