"""Sends a request on to its provider, and hands the answer to the client as it comes, while a recording looks on.

Theory of operation: what is read from the provider is noted first, then sent, then the next is read once the kernel has
taken it. So the record has all that a client has seen, and a client that does not read holds its provider up. How the
provider's connection ends is how the client's ends: in order, by a reset, or in the middle of the body. A client that
leaves is noted, and what its provider still says is read for so long as the recording wants it. Each request has a
connection of its own; nothing is compressed on it, unless the provider does so unasked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable

import h11

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.doors.guard import let_out
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.passed import Passed
from pytest_mockstream.playbook.live import Ending
from pytest_mockstream.wire import ERRORS, json_text

from .connection import Connection
from .upstreams import Onward, Upstreams

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_HELD = 64 * 2**10  # bytes that are read ahead of a client
_HEAD = 256 * 2**10  # bytes of the head of an answer
# For one connection (RFC 9110, section 7.6.1); the client has its own.
_OF_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}


class Relays:
    """What is being relayed, by a server; all of it on its loop.

    Args:
        upstreams: says where requests go.
    """

    def __init__(self, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self._running: dict[asyncio.Task[None], Connection] = {}

    async def relay(
        self,
        passed: Passed,
        incoming: HTTPRequest,
        connection: Connection,
        *,
        own_port: int,
    ) -> None:
        """Send a request on, and relay the answer to its end.

        Args:
            passed: looks on.
            incoming: the request.
            connection: the client's.
            own_port: the server's.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in one
        self._running[task] = connection
        exchange = _Exchange(passed, connection)
        try:
            await exchange.run(self.upstreams.onward(passed.request.provider, incoming, own_port=own_port))
        except ScriptError as error:
            passed.remember(error)
            exchange.refuse(str(error))
        finally:
            del self._running[task]

    @property
    def unfinished(self) -> list[asyncio.Task[None]]:
        """Those whose client has left and whose provider still talks."""
        return [task for task, connection in self._running.items() if connection.lost]

    async def finish(self, within: float) -> bool:
        """Wait until nothing is unfinished, for so many seconds at most; return whether that is so."""
        if unfinished := self.unfinished:
            await asyncio.wait(unfinished, timeout=within)
        return not self.unfinished

    async def stop(self) -> None:
        """Break off what is unfinished; it has ended when this returns."""
        if unfinished := self.unfinished:
            for task in unfinished:
                task.cancel()
            await asyncio.wait(unfinished)


class _Exchange:
    """One request that is sent on, and its answer."""

    def __init__(self, passed: Passed, connection: Connection) -> None:
        self._passed = passed
        self._connection = connection
        self._has_head = False
        self._upstream: _Upstream | None = None
        self._is_quiet = True

    async def run(self, onward: Onward) -> None:
        loop = asyncio.get_running_loop()
        limit = asyncio.timeout(None)

        def lost(by_client: bool) -> None:
            self._is_quiet = by_client
            if by_client:
                self._passed.left()
            limit.reschedule(loop.time() + (self._passed.drain if by_client else 0.0))

        try:
            async with limit:
                self._connection.on_lost = lost
                await self._relay(onward)
        except TimeoutError:  # the entry says already who has left
            self._passed.take.ended("silence" if self._is_quiet else "cut")
        except asyncio.CancelledError:
            self._passed.take.ended("cut")
            raise
        finally:
            self._connection.on_lost = None
            if self._upstream is not None:
                self._upstream.close()

    async def _relay(self, onward: Onward) -> None:
        try:
            self._upstream = await _connected(onward)
        except (OSError, UnicodeError) as error:  # of the second kind for a name that no host can have
            self._passed.ended("reset")
            self.refuse(_unreachable(onward, error))
            return
        peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD)
        self._upstream.write(_sent(peer, onward))
        while (data := await self._upstream.piece()) is not None:
            self._is_quiet = False
            peer.receive_data(data)
            if await self._pass_on(peer, is_all=not data):
                return
        self._break("reset")

    async def _pass_on(self, peer: h11.Connection, *, is_all: bool) -> bool:
        """Hand over what has come; return whether that was the end."""
        events, error = _events(peer)
        is_whole = bool(events) and isinstance(events[-1], h11.EndOfMessage)
        for event in events:
            if isinstance(event, h11.Response):
                self._passed.answered(event.status_code, _text_of(event))
            elif isinstance(event, h11.Data):
                self._passed.received(bytes(event.data))
        if is_whole:
            self._passed.ended()
        self._send(events)
        await self._connection.drained()
        if error is not None and not is_all and not self._has_head:
            self.refuse(f"what its provider said is not HTTP/1.1: {error}")
        elif error is not None:
            self._break("cut")
        return is_whole or error is not None

    def _send(self, events: Iterable[h11.Event]) -> None:
        parts: list[h11.Event] = []
        for event in events:
            if isinstance(event, h11.Response):
                self._connection.send_head(event.status_code, _for_client(event))
                self._has_head = True
            elif isinstance(event, h11.Data):
                parts.append(h11.Data(data=bytes(event.data)))
            elif isinstance(event, h11.EndOfMessage):
                parts.append(h11.EndOfMessage())
        if parts:
            self._connection.send(*parts)

    def _break(self, how: Ending) -> None:
        self._passed.ended(how)
        if how == "reset":
            self._connection.reset()
        else:
            self._connection.cut()

    def refuse(self, message: str) -> None:
        """Say in place of the provider, and in its words, why there is no answer."""
        self._passed.ended("cut")
        shape = ERRORS.get(self._passed.request.provider, ERRORS["openai"])
        body = json_text(shape(502, f"pytest-mockstream: {message}", None)).encode()
        self._connection.send_head(502, [("content-type", "application/json"), ("content-length", str(len(body)))])
        self._connection.send(h11.Data(data=body), h11.EndOfMessage())


class _Upstream(asyncio.Protocol):
    """The connection to a provider."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport
        self._held = bytearray()
        self._has_come = asyncio.Event()
        self._is_over = False
        self._is_reset = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - asyncio's promise, for mypy
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= _HELD:
            self._transport.pause_reading()
        self._has_come.set()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_reset = error is not None and not self._is_over
        self._end()

    def _end(self) -> None:
        self._is_over = True
        self._has_come.set()

    def write(self, data: bytes) -> None:
        """Send something; nobody waits for it to arrive, as a provider may answer before it has read all."""
        self._transport.write(data)

    async def piece(self) -> bytes | None:
        """Return what has come, empty bytes once the connection is closed in order, and None once it is reset."""
        while not self._held and not self._is_over:
            self._has_come.clear()
            self._transport.resume_reading()
            await self._has_come.wait()
        if self._held:
            data = bytes(self._held)
            self._held.clear()
            return data
        return None if self._is_reset else b""

    def close(self) -> None:
        """Close it now."""
        self._transport.abort()


async def _connected(onward: Onward) -> _Upstream:
    """Connect to a provider.

    Raises:
        OSError: it cannot be reached, or its certificate is not good.
        UnicodeError: no host can have such a name.
    """
    with let_out():
        context = ssl.create_default_context() if onward.scheme == "https" else None
        _, upstream = await asyncio.get_running_loop().create_connection(
            _Upstream, onward.host, onward.port, ssl=context, happy_eyeballs_delay=0.25
        )
    return upstream


def _sent(peer: h11.Connection, onward: Onward) -> bytes:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in onward.headers]
    request = h11.Request(method=onward.method, target=onward.target, headers=[*headers, (b"connection", b"close")])
    events = (request, h11.Data(data=onward.body), h11.EndOfMessage())
    return b"".join(peer.send(event) or b"" for event in events)


def _events(peer: h11.Connection) -> tuple[list[h11.Event], h11.RemoteProtocolError | None]:
    """Return what has come completely, up to the end of the message, and what is wrong behind it."""
    events: list[h11.Event] = []
    try:
        while not isinstance(event := peer.next_event(), type):  # the two that are no events ask for more
            events.append(event)
            if isinstance(event, h11.EndOfMessage):
                break
    except h11.RemoteProtocolError as error:
        return events, error
    return events, None


def _text_of(response: h11.Response) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]


def _for_client(response: h11.Response) -> list[tuple[str, str]]:
    """Return the headers of an answer that are meant for the client, too."""
    headers = [
        (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw_items()
    ]
    left_out = {*_OF_CONNECTION}
    for name, value in headers:
        if name == "connection":
            left_out |= {listed.strip().lower() for listed in value.split(",")}
        elif name == "transfer-encoding":  # it says where the body ends (RFC 9112, section 6.3)
            left_out.add("content-length")
    return [(name, value) for name, value in headers if name not in left_out]


def _unreachable(onward: Onward, error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{onward} has a certificate that is not trusted here ({error.verify_message}): SSL_CERT_FILE names a file"
            " with those of the authorities to trust"
        )
    return f"{onward} cannot be reached: {error or type(error).__name__}"
