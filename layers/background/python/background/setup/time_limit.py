"""A time limit for database work, so that the function can still answer its caller."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

_CANCEL_TIMEOUT = 3.0  # seconds
_GRACE = 1.0  # seconds


class OutOfTime(Exception):
    """The work ended before it was complete. Its finished parts stay."""


@contextmanager
def limited(connection: psycopg.Connection, seconds: float | None) -> Iterator[None]:
    """End the block's work on the connection after ``seconds``, and raise OutOfTime. None means no limit.

    The running statement is cancelled, so that the server stops as well. Then the connection is cut, so that neither
    another statement nor a silent server can delay the end.
    """
    if seconds is None:
        yield
        return
    over, done = threading.Event(), threading.Event()

    def end() -> None:
        over.set()
        with suppress(psycopg.Error):
            connection.cancel_safe(timeout=_CANCEL_TIMEOUT)
        if not done.wait(_GRACE):
            with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as wire:
                wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.Error as error:
        if over.is_set():
            raise OutOfTime("the time limit is reached") from error
        raise
    finally:
        done.set()
        timer.cancel()
        timer.join()
