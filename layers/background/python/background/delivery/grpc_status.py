"""What a gRPC server said when it did not do what was asked."""

from users.errors import Unavailable


def status_of(error: Unavailable) -> str:
    """The name of the gRPC status under an Unavailable, such as ``UNAVAILABLE``; else of the exception under it."""
    cause = error.__cause__
    code = getattr(cause, "code", None)
    return str(code().name) if callable(code) else type(cause).__name__
