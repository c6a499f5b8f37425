"""Two facts about this machine: it is a developer's, and other machines reach it."""

import os


def in_local_mode() -> bool:
    """Return whether ``make run`` or ``sam local`` runs this. Both set ``AWS_SAM_LOCAL``, and AWS does not."""
    return os.environ.get("AWS_SAM_LOCAL") == "true"


def is_exposed() -> bool:
    """Return whether ``make run`` serves other machines too. It then sets ``MG_LOCAL_EXPOSED``."""
    return os.environ.get("MG_LOCAL_EXPOSED") == "true"
