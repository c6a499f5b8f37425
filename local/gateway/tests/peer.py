"""The test's end of the conversation with a `talk` function (fixtures/functions/probe/app.py)."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

DEADLINE = 30.0


class Conversation:
    """One running `talk` function: what it told, and the order it waits for."""

    def __init__(self, connection: socket.socket) -> None:
        """Read what the function tells."""
        connection.settimeout(DEADLINE)
        self._stream = connection.makefile("rw")
        connection.close()  # The stream keeps it open.
        self.told: dict[str, Any] = json.loads(self._stream.readline())

    def order(self, order: str = "answer") -> None:
        """Let the function go on: answer, raise or exit."""
        with self._stream:
            self._stream.write(order + "\n")

    def close(self) -> None:
        """Hang up, if that has not been done."""
        self._stream.close()

    def was_left(self) -> bool:
        """Whether the function ended without waiting for an order."""
        with self._stream:
            return self._stream.read() == ""


class Peer:
    """Listens for `talk` functions, which are told its port."""

    def __init__(self) -> None:
        """Listen on a free port of the loopback."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(DEADLINE)
        self.port: int = self._listener.getsockname()[1]
        self._conversations: list[Conversation] = []

    def __enter__(self) -> Peer:
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop listening, and hang up on functions that still wait."""
        self._listener.close()
        for conversation in self._conversations:
            conversation.close()

    def meet(self) -> Conversation:
        """The next function that has begun to run."""
        self._conversations.append(Conversation(self._listener.accept()[0]))
        return self._conversations[-1]
