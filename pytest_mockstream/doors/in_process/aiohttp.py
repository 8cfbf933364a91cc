"""The in-process door for aiohttp.

It replaces ``BaseConnector.connect``, where a session gets a connection: sessions, middlewares, traces, redirects,
cookies, timeouts and the life of the response work as ever.

It uses two private names, ``StreamReader._wait`` and ``BaseConnector._acquired``, checked against aiohttp 3.12 to 3.14.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import aiohttp
from aiohttp import StreamReader
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpVersion11, RawResponseMessage
from aiohttp.http_exceptions import TransferEncodingError
from multidict import CIMultiDict, CIMultiDictProxy

from pytest_mockstream._base.replace import Replacement
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.passed import Passed

from .aiohttp_passed import PASSES, pass_on
from .door import answering
from .exchange import Exchange

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Troubles:
    """The exceptions of aiohttp; the texts are its own."""

    def reset(self, *, begun: bool) -> Exception:
        cause = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        return self._incomplete(cause) if begun else _caused(aiohttp.ClientOSError(*cause.args), cause)

    def cut(self, *, begun: bool) -> Exception:
        return self._incomplete(None) if begun else aiohttp.ServerDisconnectedError()

    def timed_out(self, *, begun: bool) -> Exception:
        return aiohttp.SocketTimeoutError("Timeout on reading data from socket")

    def closed(self) -> Exception:
        return aiohttp.ClientConnectionError("Connection closed")

    def unreachable(self) -> Exception:
        return aiohttp.ClientConnectionError("[Errno -2] Name or service not known")

    def _incomplete(self, cause: Exception | None) -> Exception:
        incomplete = TransferEncodingError("Not enough data to satisfy transfer length header.")
        text = f"Response payload is not completed: {incomplete!r}"
        return _caused(aiohttp.ClientPayloadError(text if cause is None else f"{text}. {cause!r}"), incomplete)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class _Wire(asyncio.Transport):
    """A transport that discards what is written: the request was taken before."""

    def __init__(self, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = loop
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing and not self._loop.is_closed():
            self._loop.call_soon(self._protocol.connection_lost, None)  # what closing the connector waits for
        self._closing = True

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class _Body(StreamReader):
    """A body that no connection feeds: when it has no data left, its reader reads the exchange."""

    __slots__ = ("_exchange",)

    def __init__(self, protocol: _Protocol, exchange: Exchange, *, timer: Any, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(protocol, 2**16, timer=timer, loop=loop)
        self._exchange = exchange

    async def _wait(self, func_name: str) -> None:
        if not self._protocol.connected:
            raise RuntimeError("Connection closed.")  # aiohttp's own words, which litellm looks for
        try:
            with self._timer:
                piece = await self._exchange.aread()
        except aiohttp.ClientError as error:
            self.set_exception(error)
            raise
        self._feed(piece)
        # A connection reads on without its reader, sees the end of the body and is free: who stops at the last content,
        # as litellm does, has left nothing open.
        while not self.is_eof() and (tail := self._exchange.read_tail()) is not None:
            self._feed(tail)

    def _feed(self, piece: bytes) -> None:
        if not piece:
            self.feed_eof()
            return
        self.begin_http_chunk_receiving()
        self.feed_data(piece)
        self.end_http_chunk_receiving()


class _Protocol(ResponseHandler):
    """One connection, for one request; it never goes back into a pool."""

    def __init__(self, loop: asyncio.AbstractEventLoop, exchange: Exchange) -> None:
        super().__init__(loop)
        self._exchange = exchange
        self._response_timer: Any = None
        self.connection_made(_Wire(self, loop))

    @property
    def should_close(self) -> bool:
        return True

    def set_response_params(self, *, timer: Any = None, read_timeout: float | None = None, **params: Any) -> None:
        super().set_response_params(timer=timer, read_timeout=read_timeout, **params)
        self._response_timer = timer
        self._exchange.limit = read_timeout or None

    def start_timeout(self) -> None:
        """Do nothing: the exchange applies the read timeout, as there is no socket."""

    async def read(self) -> tuple[RawResponseMessage, StreamReader]:
        """Return status, headers and body; raises what aiohttp raises where none come."""
        await self._exchange.astart()
        answer = self._exchange.answer
        headers: CIMultiDict[str] = CIMultiDict(answer.headers)
        message = RawResponseMessage(
            version=HttpVersion11,
            code=answer.status,
            reason=self._exchange.reason,
            headers=CIMultiDictProxy(headers),
            raw_headers=tuple((name.encode(), value.encode()) for name, value in headers.items()),
            should_close=True,
            compression=None,
            upgrade=False,
            chunked=True,
        )
        return message, _Body(self, self._exchange, timer=self._response_timer, loop=self._loop)

    def close(self) -> None:
        self._exchange.close()
        super().close()

    def abort(self) -> None:
        self._exchange.close()
        super().abort()


def aiohttp_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in aiohttp."""
    troubles = _Troubles()

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        async def connect(connector: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
            url = req.url
            door = None if PASSES.get() else answering(url.raw_host or "", url.port, req.method, url.raw_path)
            if door is None:
                return await original(connector, req, *args, **kwargs)
            incoming = HTTPRequest(
                method=req.method,
                url=str(req.url),
                headers={name.lower(): value for name, value in req.headers.items()},
                body=await _body_of(req),
            )
            if door.turns_away(incoming):
                raise troubles.unreachable()
            loop = asyncio.get_running_loop()
            answer = await door.aanswer(incoming)
            if isinstance(answer, Passed):
                with door.letting_out(incoming.host):
                    return await pass_on(answer, door.drains, original, connector, req, *args, **kwargs)
            protocol = _Protocol(loop, Exchange(answer, troubles, limit=None))
            connector._acquired.add(protocol)  # so that closing the connector closes it
            return Connection(connector, req.connection_key, protocol, loop)

        return connect

    yield Replacement(library.BaseConnector, "connect", connecting)


class _Collector:
    """Takes what a payload writes."""

    def __init__(self) -> None:
        self.written = bytearray()

    async def write(self, chunk: bytes) -> None:
        self.written += chunk


async def _body_of(req: Any) -> bytes:
    body = req.body
    if isinstance(body, bytes):
        return body
    if hasattr(body, "as_bytes"):  # from 3.12.1 on; a body that can be read only once is kept for the request then
        return bytes(await body.as_bytes())
    collector = _Collector()
    await body.write(collector)
    return bytes(collector.written)
