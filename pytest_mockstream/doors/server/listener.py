"""The listening socket, and the connections that were accepted on it.

All of it runs on one event loop, and is called from there only.

Theory of operation: connections are accepted here and not by ``loop.create_server``, which loses one, with its
descriptor, that is being accepted while it closes. Each becomes a task until asyncio has made its transport; ``close``
waits for those, so whatever was accepted is in ``connections`` when they are ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable

from pytest_mockstream._base.clock import turn
from pytest_mockstream.doors.http_request import HTTPRequest

from .connection import Connection, Limits
from .fork import UnsharedSocket

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_BACKLOG = 2048
# What a client does not read stays with us: the kernel would otherwise take megabytes for it off our hands, and a
# stream that nobody reads would seem to have been sent.
_SEND_BUFFER = 64 * 2**10
# From the arrival of a connection to the closing of its socket there are eight turns of the loop; more do no harm.
_TURNS = 20
_REST_SECONDS = 0.1


class Connections(set[Connection]):
    """The connections that are open.

    Attributes:
        changed: called when one is opened or closed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.changed: Callable[[], None] = lambda: None

    def add(self, connection: Connection) -> None:
        """Add one that was opened."""
        super().add(connection)
        self.changed()

    def discard(self, connection: object) -> None:
        """Remove one that was closed."""
        super().discard(connection)
        self.changed()


class Listener:
    """Accepts connections on one address.

    Args:
        respond: answers one request on its connection.
        host: the address to bind.
        port: the port to bind; 0 for a free one.
        limits: of every connection.
        cors: whether web pages of any origin may read what is answered.
    """

    def __init__(
        self,
        respond: Callable[[HTTPRequest, Connection], Awaitable[None]],
        *,
        host: str,
        port: int,
        limits: Limits,
        cors: bool,
    ) -> None:
        self._respond = respond
        self._host = host
        self._limits = limits
        self._cors = cors
        self._socket: UnsharedSocket | None = None
        self._is_accepting = False
        self._arriving: set[asyncio.Task[object]] = set()
        self.connections = Connections()
        self.port = port

    async def open(self) -> None:
        """Bind the address, if it is not bound, and accept connections.

        Raises:
            OSError: the address cannot be bound.
        """
        if self._is_accepting:
            return
        self._socket = self._socket or self._bind()
        self._socket.listen(_BACKLOG)
        self._is_accepting = True
        self._wait()

    async def refuse(self) -> None:
        """Refuse new connections and close idle ones, but keep the port; running streams go on."""
        if not self._is_accepting:
            return
        await self._stop_accepting()
        self._socket = self._bind()  # bound, but not listening: the kernel refuses whoever comes
        self._close_idle()

    async def close(self) -> None:
        """Close the port and every connection; their tasks have ended when this returns."""
        await self._stop_accepting()
        self._close_idle()
        await self.end_streams()

    async def end_streams(self) -> None:
        """Reset every connection with a request or a response on it; their tasks have ended when this returns."""
        busy = [connection for connection in self.connections if not connection.is_idle]
        tasks = [connection.task for connection in busy if connection.task is not None]
        for connection in busy:
            connection.reset()
        if tasks:
            await asyncio.wait(tasks)
        await turn()  # asyncio closes the sockets one turn later

    async def catch_up(self) -> None:
        """Handle everything that the kernel has for us now."""
        for _ in range(_TURNS):
            await turn()

    def _bind(self) -> UnsharedSocket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # The protocol is named because asyncio switches Nagle's algorithm off only where it sees that this is TCP.
        bound = UnsharedSocket.take(lambda: socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP))
        try:
            if os.name == "posix":  # on Windows it would let another process bind the same port
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            bound.setblocking(False)
            bound.bind((self._host, self.port))
        except OSError:
            bound.close()
            raise
        self.port = bound.getsockname()[1]
        return bound

    def _wait(self) -> None:
        if self._is_accepting and self._socket is not None:
            asyncio.get_running_loop().add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        assert self._socket is not None  # noqa: S101 - nobody waits at a socket that is not there
        loop, listening = asyncio.get_running_loop(), self._socket
        while True:
            try:
                accepted = UnsharedSocket.take(lambda: listening.accept()[0])
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionError:  # a client that has already left again: aborted, or reset on Windows
                continue
            except OSError:  # as a rule out of descriptors: the socket stays readable, so rest before the next look
                loop.remove_reader(listening)
                loop.call_later(_REST_SECONDS, self._wait)
                return
            accepted.setblocking(False)
            task: asyncio.Task[object] = loop.create_task(
                loop.connect_accepted_socket(self._connect, accepted), name="mockstream server: a connection"
            )
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    def _connect(self) -> Connection:
        return Connection(self._respond, connections=self.connections, limits=self._limits, cors=self._cors)

    async def _stop_accepting(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            if self._is_accepting:
                _refuse_all(self._socket)
            self._socket.close()
        self._socket = None
        self._is_accepting = False
        if self._arriving:
            await asyncio.wait(self._arriving)

    def _close_idle(self) -> None:
        for connection in list(self.connections):
            if connection.is_idle:
                connection.abort()


def _refuse_all(listening: socket.socket) -> None:
    """Let a socket listen no more, even while a child that was forked this very moment has not closed its copy."""
    with contextlib.suppress(OSError):  # only Linux can; elsewhere it listens until the copy is closed, too
        listening.shutdown(socket.SHUT_RDWR)
