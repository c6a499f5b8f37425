"""Forwards TCP connections of containers, and of no other client, to ports of this machine's loopback."""

import asyncio
import contextlib
import errno

from local.sam_local.engine import Bridge, EngineUnusable

_LOOPBACK = "localhost"  # both address families, because a variable may name either
_CHUNK = 64 * 1024


class Relay:
    """Listens on this machine's address in the network of containers, while its context is open.

    It accepts connections only from other addresses of that network. This machine's own address is refused, so that no
    other user of the machine can use the relay.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._servers: list[asyncio.Server] = []
        self._carried: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Relay":
        """Return the relay. It does not listen yet."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End the listeners and their connections."""
        for server in self._servers:
            server.close()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def lead_to(self, port: int) -> int:
        """Listen for connections to `port` of the loopback. Return the port of the relay."""
        gateway = str(self._bridge.gateway)

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._carry(port, reader, writer))
            self._carried.add(task)
            task.add_done_callback(self._carried.discard)

        try:
            server = await asyncio.start_server(accept, gateway, 0)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise EngineUnusable(
                    f"Docker's network has its gateway at {gateway}, which is no address of this machine. Docker"
                    " Desktop and rootless engines have a machine or network of their own: use Docker Engine, as root."
                ) from error
            raise
        self._servers.append(server)
        listening: int = server.sockets[0].getsockname()[1]
        return listening

    async def _carry(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until both sides have ended it."""
        peer = writer.get_extra_info("peername")
        if peer is None or not self._bridge.has(peer[0]):
            writer.transport.abort()
            return
        try:
            near_reader, near_writer = await asyncio.open_connection(_LOOPBACK, port)
        except OSError:  # the part does not run: the function sees a connection that ends at once
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_copy(reader, near_writer), _copy(near_reader, writer))
        finally:
            for side in (writer, near_writer):
                side.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forward data and end of a stream. When one side breaks off, end the other too."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):  # the other side has ended meanwhile
            writer.write_eof()
    except OSError:
        writer.transport.abort()
