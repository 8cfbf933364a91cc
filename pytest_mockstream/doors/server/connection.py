"""One HTTP/1.1 connection: requests are read and checked here, and responses put on the wire.

h11 knows the protocol and asyncio the socket; what to answer is decided elsewhere. Nothing here waits for a client that
does not read: the sender does, with ``drained``.

Theory of operation: the protocol object reads all the time, also while a request is being answered: only so does it
notice at once that the client has gone. Each complete request is answered in a task of its own, one at a time; what the
client sends meanwhile waits in h11, up to a limit. When the client goes, ``lost`` is set and ``on_lost`` called in the
turn of the loop that notices it, before any task runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import h11

from pytest_mockstream.doors.http_request import HTTPRequest

from .cors import readable
from .own_paths import is_own

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Headers: TypeAlias = "Iterable[tuple[str, str]]"

_LINGER_SECONDS = 2.0
_RESET_ON_CLOSE = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # on, and for no time


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one client may ask of the server.

    Attributes:
        body: bytes of a request's body; more is answered with 413.
        head: bytes of a request's line and headers, and of what is sent ahead of the answer to an earlier request.
        request_seconds: how long a request may take to arrive; a slower one is answered with 408.
        idle_seconds: how long a connection may stay open between two requests.
        keep_alive: whether it stays open at all.
    """

    body: int = 8 * 2**20
    head: int = 64 * 2**10
    request_seconds: float = 30.0
    idle_seconds: float = 300.0
    keep_alive: bool = False


class _Refused(Exception):
    """A request that gets an error without being answered."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connection(asyncio.Protocol):
    """One connection.

    Args:
        respond: answers one request on this connection.
        connections: the set of all connections; this one keeps itself there while it is open.
        limits: see ``Limits``.
        cors: whether web pages of any origin may read its responses.
    """

    def __init__(
        self,
        respond: Callable[[HTTPRequest, Connection], Awaitable[None]],
        *,
        connections: set[Connection],
        limits: Limits,
        cors: bool,
    ) -> None:
        self._respond = respond
        self._connections = connections
        self._limits = limits
        self._cors = cors
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=limits.head)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._head: h11.Request | None = None
        self._body = bytearray()
        self._ahead = 0
        self._is_deaf = False
        self._is_drained = asyncio.Event()
        self._is_drained.set()
        self.task: asyncio.Task[None] | None = None
        self.lost = False
        self.on_lost: Callable[[bool], None] | None = None

    # What asyncio tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise, for mypy
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        self._connections.add(self)
        self._allow(self._limits.request_seconds)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._h11.receive_data(data)
        if self.task is None:
            self._advance()
        else:
            self._ahead += len(data)
            if self._ahead > self._limits.head:
                self.abort()

    def eof_received(self) -> None:
        # A client that shuts down its half only is taken to have left, as most servers take it.
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(by_client=True)

    def pause_writing(self) -> None:
        self._is_drained.clear()

    def resume_writing(self) -> None:
        self._is_drained.set()

    def _lose(self, *, by_client: bool) -> None:
        if self.lost:
            return
        self.lost = True
        self._connections.discard(self)
        self._allow(None)
        self._is_drained.set()
        if self.on_lost is not None:
            self.on_lost(by_client)

    # Reading requests.

    def _advance(self) -> None:
        try:
            incoming = self._next_request()
        except _Refused as refused:
            self.refuse(refused.status, str(refused))
        except h11.RemoteProtocolError as error:
            self.refuse(error.error_status_hint, f"this is not HTTP/1.1: {error}")
        else:
            if incoming is not None:
                self._allow(None)
                self._ahead = 0
                name = f"mockstream server: {incoming.method} {incoming.path}"
                self.task = self._loop.create_task(self._answer(incoming), name=name)

    def _next_request(self) -> HTTPRequest | None:
        while True:
            match self._h11.next_event():
                case h11.Request() as head:
                    self._head = head
                    self._check(head)
                    if self._h11.they_are_waiting_for_100_continue:
                        self.send(h11.InformationalResponse(status_code=100, headers=[]))
                case h11.Data(data=data):
                    self._body += data
                    if len(self._body) > self._limits.body:
                        raise self._too_large()
                case h11.EndOfMessage():
                    return self._incoming()
                case _:
                    return None

    def _incoming(self) -> HTTPRequest:
        head = self._head
        assert head is not None  # noqa: S101 - h11's promise, for mypy
        headers: dict[str, str] = {}
        for name, value in ((name.decode("latin-1"), value.decode("latin-1")) for name, value in head.headers):
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        target = head.target.decode("ascii")
        body = bytes(self._body)
        self._body.clear()
        try:
            incoming = HTTPRequest(
                method=head.method.decode("ascii"),
                url=f"http://localhost{target}" if target.startswith("/") else target,
                headers=headers,
                body=body,
            )
            _ = incoming.host, incoming.path, incoming.query
        except ValueError as error:
            raise _Refused(400, f"this is not a URL: {error}") from None
        return incoming

    def _check(self, head: h11.Request) -> None:
        if not head.http_version.startswith(b"1."):
            raise _Refused(505, f"this server speaks HTTP/1.1, not HTTP/{head.http_version.decode()}")
        headers = dict(head.headers)
        length = headers.get(b"content-length")
        if b"transfer-encoding" in headers:  # RFC 9112, sections 6.1 and 6.3
            if length is not None:
                raise _Refused(400, "where the body ends is said twice: by Content-Length and by Transfer-Encoding")
            if head.http_version == b"1.0":
                raise _Refused(400, "HTTP/1.0 has no Transfer-Encoding")
        if int(length or 0) > self._limits.body:
            raise self._too_large()

    def _too_large(self) -> _Refused:
        return _Refused(413, f"the body is larger than {self._limits.body} bytes")

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error and hang up, so that the client can still read the answer while it sends."""
        self._is_deaf = True
        if self._h11.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode()
            self.send_head(
                status, [("content-type", "application/json"), ("content-length", str(len(body)))], last=True
            )
            self.send(h11.Data(data=body), h11.EndOfMessage())
        try:
            self._transport.write_eof()
        except OSError:  # the client's reset came first, and asyncio lets the kernel's error out
            self.abort()
        else:
            self._allow(_LINGER_SECONDS)

    def _allow(self, seconds: float | None) -> None:
        """Let the client take so long for what it has to do now; None for as long as it likes."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._too_slow)

    def _too_slow(self) -> None:
        has_begun = self._head is not None or bool(self._h11.trailing_data[0])
        if self._is_deaf or not has_begun:
            self.abort()
        else:
            self.refuse(408, "the request took too long to arrive")

    async def _answer(self, incoming: HTTPRequest) -> None:
        try:
            await self._respond(incoming, self)
        finally:
            self.task = self.on_lost = self._head = None
        if self.lost or self._is_deaf or self._transport.is_closing():
            return
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            self._allow(self._limits.idle_seconds)
            self._advance()
        else:
            self._transport.close()

    # Writing responses.

    def send_head(self, status: int, headers: Headers, *, last: bool = False, cors: bool = True) -> None:
        """Send the status line and the headers, with those that are the same for every answer on this connection.

        Args:
            status: of HTTP.
            headers: of this answer.
            last: whether it is the last answer on this connection.
            cors: False lets no page of another origin read it, even where they may read all others.
        """
        is_for_all = self._cors and cors and not (self._head is not None and is_own(self._head.target))
        shown = readable(headers) if is_for_all else list(headers)
        if last or not self._limits.keep_alive:
            shown.append(("connection", "close"))
        encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in shown]
        self.send(h11.Response(status_code=status, headers=encoded))

    def send(self, *events: h11.Event) -> None:
        """Send parts of the response, in one piece."""
        is_bodiless = self._head is not None and self._head.method == b"HEAD"
        sent = (event for event in events if not (is_bodiless and isinstance(event, h11.Data)))
        data = b"".join(self._h11.send(event) or b"" for event in sent)
        if data and not self.lost:
            self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the kernel has taken all that was sent, or the client has gone."""
        await self._is_drained.wait()

    def reset(self) -> None:
        """Reset the connection: the client gets RST, not FIN."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and not self.lost:
            with contextlib.suppress(OSError):  # the client was faster, and the system has let the connection go
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._lose(by_client=False)
        self._transport.abort()

    def cut(self) -> None:
        """Close the connection as it stands: what was sent arrives, the body has no end."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection now, on the client's account; what the kernel has not taken yet is lost."""
        self._lose(by_client=True)
        self._transport.abort()

    @property
    def peer(self) -> tuple[str, int]:
        """The client's address and port, as far as they are known."""
        name = self._transport.get_extra_info("peername") or ("a client that has gone", 0)
        return name[0], name[1]

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered or read."""
        return self.task is None and self._head is None
