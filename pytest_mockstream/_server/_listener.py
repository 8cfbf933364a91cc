"""The listening socket and the connections that came in through it.

The wall: lives on one event loop and is called from there alone.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

from pytest_mockstream._answer import Incoming

from ._connection import Connection, Limits

_BACKLOG = 2048
# What a client does not read stays with us: the kernel would otherwise take megabytes for it off our hands, and a
# stream that nobody reads would seem to have been sent.
_SEND_BUFFER = 64 * 2**10


class Listener:
    """Accepts connections on one address.

    Args:
        respond: answers one request on its connection.
        host: the address to bind.
        port: the port to bind; 0 for a free one.
        limits: of every connection.
    """

    def __init__(
        self,
        respond: Callable[[Incoming, Connection], Awaitable[None]],
        *,
        host: str,
        port: int,
        limits: Limits,
    ) -> None:
        self._respond = respond
        self._host = host
        self._limits = limits
        self._server: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self.connections: set[Connection] = set()
        self.port = port

    async def open(self) -> None:
        """Bind, if that is still to be done, and accept connections.

        Raises:
            OSError: the address cannot be bound.
        """
        if self._server is not None:
            return
        bound, self._socket = self._socket or self._bind(), None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, sock=bound, backlog=_BACKLOG)

    async def refuse(self) -> None:
        """Refuse new connections and close idle ones, but keep the port; streams that run go on."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        self._socket = self._bind()  # bound, but not listening: the kernel refuses whoever comes
        for connection in list(self.connections):
            if connection.is_idle:
                connection.abort()

    async def close(self) -> None:
        """Close the port and reset every connection; their tasks have ended when this returns."""
        if self._server is not None:
            self._server.close()
        if self._socket is not None:
            self._socket.close()
        self._server = self._socket = None
        for connection in list(self.connections):
            if connection.is_idle:
                connection.abort()
        await self.end_streams()

    async def end_streams(self) -> None:
        """Reset every connection that a request or a response is on; their tasks have ended when this returns."""
        busy = [connection for connection in self.connections if not connection.is_idle]
        tasks = [connection.task for connection in busy if connection.task is not None]
        for connection in busy:
            connection.reset()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)  # asyncio closes the sockets one turn later

    def _connect(self) -> Connection:
        return Connection(self._respond, connections=self.connections, limits=self._limits)

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        bound = socket.socket(family, socket.SOCK_STREAM)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            bound.setblocking(False)
            bound.bind((self._host, self.port))
        except OSError:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        return bound
