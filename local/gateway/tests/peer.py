"""The test's end of the conversation with a `talk` function (fixtures/functions/probe/app.py)."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

DEADLINE = 30.0


class Conversation:
    """One running `talk` function, which has sent `report` and waits for an order."""

    def __init__(self, connection: socket.socket) -> None:
        """Read the report."""
        connection.settimeout(DEADLINE)
        self._stream = connection.makefile("rw")
        connection.close()  # the stream keeps it open
        self.report: dict[str, Any] = json.loads(self._stream.readline())

    def order(self, order: str = "answer") -> None:
        """Send an order: answer, raise or exit."""
        with self._stream:
            self._stream.write(order + "\n")

    def close(self) -> None:
        """Close the connection if it is open."""
        self._stream.close()

    def was_left(self) -> bool:
        """Return whether the function ended without waiting for an order."""
        with self._stream:
            return self._stream.read() == ""


class Peer:
    """Listens for `talk` functions, whose event contains its port."""

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._conversations: list[Conversation] = []

    def __enter__(self) -> Peer:
        """Return itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening, and close the connections to functions that still wait."""
        self._listener.close()
        for conversation in self._conversations:
            conversation.close()

    def meet(self) -> Conversation:
        """Return the conversation with the next function that has begun to run."""
        self._conversations.append(Conversation(self._listener.accept()[0]))
        return self._conversations[-1]
