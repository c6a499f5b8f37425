"""Carries TCP connections of containers to ports of this machine's loopback, and nobody else's."""

import asyncio
import contextlib
import errno

from local.sam_local.engine import Bridge, EngineUnusable

_LOOPBACK = "localhost"  # of both address families, as a variable may name either
_CHUNK = 64 * 1024


class Relay:
    """Listens on this machine's address in the network of containers, for as long as it is entered.

    The listeners take connections from addresses of that network only. This machine's own is not among them, so that
    no other user of the machine comes this way.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._servers: list[asyncio.Server] = []
        self._carried: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Relay":
        """Nothing listens yet."""
        return self

    async def __aexit__(self, *_error: object) -> None:
        """End the listeners and what they carry."""
        for server in self._servers:
            server.close()
        for task in self._carried:
            task.cancel()
        await asyncio.gather(*self._carried, return_exceptions=True)

    async def lead_to(self, port: int) -> int:
        """Return the port, on the gateway's address, that leads to `port` of the loopback from now on."""
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
        """Serve one connection until both sides have ended it."""
        peer = writer.get_extra_info("peername")
        if peer is None or not self._bridge.has(peer[0]):
            writer.transport.abort()
            return
        try:
            near_reader, near_writer = await asyncio.open_connection(_LOOPBACK, port)
        except OSError:  # the part is away: the function sees a connection that ends at once
            writer.transport.abort()
            return
        try:
            await asyncio.gather(_copy(reader, near_writer), _copy(near_reader, writer))
        finally:
            for side in (writer, near_writer):
                side.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what arrives, and its end; when either side breaks off, so does the other."""
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):  # the other side has ended meanwhile
            writer.write_eof()
    except OSError:
        writer.transport.abort()
