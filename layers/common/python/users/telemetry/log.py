"""The one logger: JSON lines by Powertools, with the operation and the request id in each.

No line ever holds a body, a token, a password, an address or a query string (S42).
"""

import os

from aws_lambda_powertools.logging import Logger

from users.settings import LOG_LEVELS

# Read here and not by settings(): a variable that cannot be understood must not keep a function from telling so.
logger = Logger(service="users", level=LOG_LEVELS.get(os.environ.get("MG_USERS_LOG_LEVEL", ""), "INFO"), utc=True)


def place(error: BaseException) -> list[str]:
    """File, line and function of each frame of the traceback, the newest last."""
    places, traceback = [], error.__traceback__
    while traceback:
        code = traceback.tb_frame.f_code
        places.append(f"{code.co_filename}:{traceback.tb_lineno} {code.co_name}")
        traceback = traceback.tb_next
    return places
