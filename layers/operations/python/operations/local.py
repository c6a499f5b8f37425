"""Whether this is a developer's machine."""

import os


def in_local_mode() -> bool:
    """True under ``make run`` and ``sam local``, which both set ``AWS_SAM_LOCAL``; never on AWS."""
    return os.environ.get("AWS_SAM_LOCAL") == "true"
