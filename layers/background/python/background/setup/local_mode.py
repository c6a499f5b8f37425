"""Whether this is a developer's machine, and whether other machines reach it."""

import os


def in_local_mode() -> bool:
    """True under ``make run`` and ``sam local``, which both set ``AWS_SAM_LOCAL``; never on AWS."""
    return os.environ.get("AWS_SAM_LOCAL") == "true"


def is_exposed() -> bool:
    """True where ``make run`` serves other machines too, which it says by ``MG_LOCAL_EXPOSED``."""
    return os.environ.get("MG_LOCAL_EXPOSED") == "true"
