"""Ending database work in time, so that whoever waits for the function gets an answer from it."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

_CANCEL_TIMEOUT = 3.0  # seconds
_GRACE = 1.0  # seconds


class OutOfTime(Exception):
    """The work was ended before it was done; what it had done stays done."""


@contextmanager
def limited(connection: psycopg.Connection, seconds: float | None) -> Iterator[None]:
    """OutOfTime when the block still works on the connection after ``seconds`` (None: it may take its time).

    The running statement is cancelled, so that the server stops as well; then the connection is cut, so that neither a
    next statement nor a server that does not answer can hold the block up.
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
            raise OutOfTime("the time that there was is over") from error
        raise
    finally:
        done.set()
        timer.cancel()
        timer.join()
