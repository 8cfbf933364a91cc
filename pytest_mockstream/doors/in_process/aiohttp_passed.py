"""Looks on at a request that goes to its provider through aiohttp.

Theory of operation: between the transport of a connection and aiohttp's protocol stands a protocol that passes on what
comes, and reads it; between the protocol and the transport stands what puts off closing. A client that leaves early has
its connection closed, as far as it can see; what still comes is then read alone. Once an answer is over, protocol and
transport face each other as before, and the connection goes back to its connector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from aiohttp import ServerTimeoutError

from pytest_mockstream.doors.passed import Passed

from .answer_reader import AnswerReader
from .drains import Drains

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Whether a request is on its way to its provider: a door has seen it.
PASSES: ContextVar[bool] = ContextVar("mockstream_passes", default=False)

_EARLY = 0.01  # seconds that a timer of a loop may ring too early


async def pass_on(
    passed: Passed, drains: Drains, original: Callable[..., Any], connector: Any, req: Any, *args: Any, **kwargs: Any
) -> Any:
    """Connect to the provider, and look on at what comes."""
    token = PASSES.set(True)
    try:
        connection = await original(connector, req, *args, **kwargs)
    except Exception as error:
        passed.ended("silence" if isinstance(error, ServerTimeoutError) else "reset")
        raise
    except BaseException:  # cancelled
        passed.left()
        raise
    finally:
        PASSES.reset(token)
    if connection.transport is None:  # it was lost as soon as it was there
        passed.ended("reset")
    else:
        _Look(connection.protocol, connection.transport, AnswerReader(passed, req.method), drains)
    return connection


class _Look(asyncio.Protocol):
    """Stands between a transport and the protocol that it had."""

    def __init__(self, protocol: Any, transport: Any, reader: AnswerReader, drains: Drains) -> None:
        self._protocol = protocol
        self._transport = transport
        self._reader = reader
        self._drains = drains
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        self._heard_at = self._loop.time()
        self._is_left = False
        protocol.transport = _Lent(transport, self)
        transport.set_protocol(self)

    # What the transport says.

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        self._reader.feed(data)
        if self._reader.is_over:
            self._end()
        if not self._is_left:
            self._protocol.data_received(data)

    def eof_received(self) -> Any:
        return None if self._is_left else self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._reader.closed()
        else:
            self._reader.ended("reset")
        self._end()
        if not self._is_left:
            self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        if not self._is_left:
            self._protocol.pause_writing()

    def resume_writing(self) -> None:
        if not self._is_left:
            self._protocol.resume_writing()

    def _end(self) -> None:
        """Stand between them no longer."""
        if not self._over.done():
            self._over.set_result(None)
        if not self._is_left:
            self._transport.set_protocol(self._protocol)
            if self._protocol.transport is not None:
                self._protocol.transport = self._transport

    # What the protocol says.

    def leave(self) -> bool:
        """Read the rest alone, as the client closes the connection; False if there is none."""
        if self._is_left:
            return True
        limit = self._protocol.read_timeout
        if limit and self._loop.time() - self._heard_at >= limit - _EARLY:
            self._reader.ended("silence")
        if self._reader.is_over or self._loop.is_closed():
            return False
        self._reader.passed.left()
        if not self._drains.in_loop(self._drain, self._close, self._reader.passed.drain):
            self._reader.stop()
            return False
        self._is_left = True
        self._loop.call_soon(self._protocol.connection_lost, None)  # as the transport does when it is closed
        self._transport.resume_reading()
        return True

    async def _drain(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._reader.passed.drain):
                await self._over

    async def _close(self) -> None:
        self._reader.stop()
        self._transport.close()


class _Lent:
    """A transport, as its protocol sees it while somebody looks on."""

    def __init__(self, transport: Any, look: _Look) -> None:
        self._transport = transport
        self._look = look
        self._is_closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self._is_closed or self._transport.is_closing()

    def close(self) -> None:
        """Close it, as far as the protocol can see."""
        self._is_closed = True
        if not self._look.leave():
            self._transport.close()

    def abort(self) -> None:
        """Do as ``close``, at once."""
        self._is_closed = True
        if not self._look.leave():
            self._transport.abort()
