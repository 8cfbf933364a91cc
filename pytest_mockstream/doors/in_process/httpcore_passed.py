"""Looks on at a request that goes to its provider through httpcore or httpcore2.

Theory of operation: pool and connection work as ever. While an answer is recorded, only the closing of its connection's
network stream is put off. A client that leaves early has its connection closed by the library, and the pool has let go
of it; then what still comes is read from the network stream by the connection's own HTTP/1.1 parser, which nobody else
uses any more, and the network stream is closed.

It uses two private names, ``HTTP11Connection._network_stream`` and ``_h11_state``; checked against httpcore 1.0.9 and
httpcore2 2.16. Where they are missing, and over HTTP/2, the rest is not read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from pytest_mockstream._base import clock
from pytest_mockstream._base.loops import running_loop
from pytest_mockstream._base.replace import Replacement
from pytest_mockstream.doors.passed import Passed
from pytest_mockstream.playbook.live import Ending

from .drains import Drains, in_loop_soon
from .exchange import in_finaliser

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_KEY = "mockstream_look"  # among a request's extensions
_MOST = 2**16  # bytes to read at once
_LEAST = 0.001  # seconds to wait: 0 is another mode of sockets
_ENDINGS: dict[str, Ending] = {
    "RemoteProtocolError": "cut",
    "ReadTimeout": "silence",
    "ConnectTimeout": "silence",
    "PoolTimeout": "silence",
}


class Look:
    """Looks on at one request.

    Args:
        library: httpcore or httpcore2.
        passed: takes what comes.
        drains: reads the rest once the client has left.
        is_async: whether the client is.
    """

    def __init__(self, library: ModuleType, passed: Passed, drains: Drains, *, is_async: bool) -> None:
        self.passed = passed
        self._library = library
        self._drains = drains
        self._is_async = is_async
        self._loop = running_loop() if is_async else None
        self._closing = "aclose" if is_async else "close"
        self._network: Any = None
        self._parser: Any = None
        self._event: Any = None
        self._has_status = False
        self._is_closed = False
        self._is_over = False

    def request(self, request: Any, body: bytes) -> Any:
        """Return the request to send in place of one whose body was read."""
        extensions = {**request.extensions, _KEY: self}
        return self._library.Request(
            request.method, request.url, headers=request.headers, content=body, extensions=extensions
        )

    def at(self, connection: Any) -> None:
        """Look on at a connection which the request is about to be sent through."""
        if self._network is not None:
            return
        network, self._parser = getattr(connection, "_network_stream", None), getattr(connection, "_h11_state", None)
        if network is None or self._parser is None:
            return
        try:
            setattr(network, self._closing, self._aput_off if self._is_async else self._put_off)
        except AttributeError:  # a network stream of somebody's own
            return
        self._network = network

    def answered(self, response: Any) -> Any:
        """Look on at a response from now on, and return it."""
        if not self._has_status:
            self._has_status = True
            self.passed.answered(
                response.status, [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
            )
            response.stream = Body(self, response.stream)
        return response

    def give_back(self) -> Any:
        """Look on no longer, and return the network stream if it is to be closed."""
        network, self._network = self._network, None
        if network is None:
            return None
        delattr(network, self._closing)
        return network if self._is_closed else None

    def _put_off(self) -> None:
        self._is_closed = True

    async def _aput_off(self) -> None:
        self._is_closed = True

    # The end.

    def ended(self, how: Ending = "end") -> None:
        """Note that the answer has ended; the connection is in order."""
        self._is_over = True
        self.passed.ended(how)
        if not self._is_closed:
            self.give_back()

    def failed(self, error: Exception) -> None:
        """Note what the library raises."""
        if not self._is_over:
            self.ended(_ENDINGS.get(type(error).__name__, "reset"))
        if (network := self.give_back()) is not None:
            network.close()

    async def afailed(self, error: Exception) -> None:
        """Do as ``failed``."""
        if not self._is_over:
            self.ended(_ENDINGS.get(type(error).__name__, "reset"))
        if (network := self.give_back()) is not None:
            await network.aclose()

    # Leaving.

    def leave(self) -> None:
        """Note that the client has left, and its connection is closed; what still comes is read elsewhere."""
        if self._takes_leave() and not (self._has_rest() and self._drains.in_thread(self._drain, self.passed.drain)):
            self._close()

    async def aleave(self) -> None:
        """Do as ``leave``."""
        if self._takes_leave() and not (
            self._has_rest() and self._drains.in_loop(self._adrain, self._aclose, self.passed.drain)
        ):
            await self._aclose()

    def _takes_leave(self) -> bool:
        """Note that the client has left; tell whether there is a rest to read, or a network stream to close."""
        if self._is_over:
            return False
        self._is_over = True
        if self._has_all():
            self.passed.ended()
        elif in_finaliser():
            self.passed.dropped()
        else:
            self.passed.left()
        return self._network is not None

    def _has_all(self) -> bool:
        """Tell whether only the end of the body was not read: the client knows that nothing more will come."""
        import h11

        if self._network is None or not self._has_status:
            return False
        try:
            self._event = self._parser.next_event()
        except h11.RemoteProtocolError:  # which it raises again
            return False
        return isinstance(self._event, h11.EndOfMessage)

    def dropped(self) -> None:
        """Note that the client has forgotten the answer; from a finaliser."""
        if self._is_over:
            return
        self._is_over = True
        self.passed.dropped()
        if self._network is None:
            return
        if self._is_async:
            in_loop_soon(self._loop, self._start_in_loop)
        else:
            self._drains.later(self._start_in_thread)

    def _start_in_thread(self) -> None:
        self._drains.in_thread(self._drain, self.passed.drain)

    def _start_in_loop(self) -> None:
        self._drains.in_loop(self._adrain, self._aclose, self.passed.drain)

    def _close(self) -> None:
        if (network := self.give_back()) is not None:
            network.close()

    async def _aclose(self) -> None:
        if (network := self.give_back()) is not None:
            await network.aclose()

    # The rest.

    def _has_rest(self) -> bool:
        """Tell whether more may come: the request was sent, and the answer is not over."""
        import h11

        return self._parser.our_state in {h11.DONE, h11.MUST_CLOSE} and not isinstance(self._event, h11.EndOfMessage)

    def _drain(self) -> None:
        end = clock.monotonic() + self.passed.drain
        try:
            while not self._hear():
                if (left := end - clock.monotonic()) <= 0:
                    return
                self._parser.receive_data(self._network.read(_MOST, timeout=max(_LEAST, left)))
        except Exception as error:
            self._broke(error, is_late=clock.monotonic() >= end)
        finally:
            self._close()

    async def _adrain(self) -> None:
        end = clock.monotonic() + self.passed.drain
        try:
            while not self._hear():
                if (left := end - clock.monotonic()) <= 0:
                    return
                self._parser.receive_data(await self._network.read(_MOST, timeout=max(_LEAST, left)))
        except Exception as error:
            self._broke(error, is_late=clock.monotonic() >= end)

    def _broke(self, error: Exception, *, is_late: bool) -> None:
        if not is_late:
            self.passed.take.ended(_ENDINGS.get(type(error).__name__, "reset"))

    def _hear(self) -> bool:
        """Take what the parser has; return whether the answer is over."""
        import h11

        while True:
            event, self._event = self._event or self._parser.next_event(), None
            if event is h11.NEED_DATA:
                return False
            if isinstance(event, h11.Response):
                headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
                self.passed.answered(event.status_code, headers)
            elif isinstance(event, h11.Data):
                self.passed.received(bytes(event.data))
            elif not isinstance(event, h11.InformationalResponse):
                self.passed.take.ended("end" if isinstance(event, h11.EndOfMessage) else "cut")
                return True


def is_passed(request: Any) -> bool:
    """Tell whether a request is on its way to its provider: a door has seen it."""
    return _KEY in request.extensions


def pass_on(look: Look, original: Callable[..., Any], pool: object, request: Any, body: bytes) -> Any:
    """Send a request through a pool, and look on."""
    try:
        return look.answered(original(pool, look.request(request, body)))
    except Exception as error:
        look.failed(error)
        raise
    except BaseException:
        look.leave()
        raise


async def apass_on(look: Look, original: Callable[..., Any], pool: object, request: Any, body: bytes) -> Any:
    """Do as ``pass_on``."""
    try:
        return look.answered(await original(pool, look.request(request, body)))
    except Exception as error:
        await look.afailed(error)
        raise
    except BaseException:  # cancelled
        await look.aleave()
        raise


def _look_of(request: Any) -> Look | None:
    """Return who looks on at a request; a tunnel through a proxy is asked for with the same extensions."""
    return None if request.method == b"CONNECT" else request.extensions.get(_KEY)


def connection_replacements(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in httpcore or httpcore2 to look on at what is sent through a connection."""

    def handle(original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_request(connection: Any, request: Any) -> Any:
            if (look := _look_of(request)) is None:
                return original(connection, request)
            look.at(connection)
            try:
                return look.answered(original(connection, request))
            except library.ConnectionNotAvailable:  # the pool takes another one
                look.give_back()
                raise

        return handle_request

    def handle_async(original: Callable[..., Any]) -> Callable[..., Any]:
        async def handle_async_request(connection: Any, request: Any) -> Any:
            if (look := _look_of(request)) is None:
                return await original(connection, request)
            look.at(connection)
            try:
                return look.answered(await original(connection, request))
            except library.ConnectionNotAvailable:
                look.give_back()
                raise

        return handle_async_request

    yield Replacement(library.HTTP11Connection, "handle_request", handle)
    yield Replacement(library.AsyncHTTP11Connection, "handle_async_request", handle_async)


class Body:
    """The body of a response, which its client reads; sync or async, as the stream that it is read from."""

    __slots__ = ("__weakref__", "_look", "_stream")

    def __init__(self, look: Look, stream: Any) -> None:
        self._look = look
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        received = self._look.passed.received
        try:
            for piece in self._stream:
                received(piece)
                yield piece
        except Exception as error:
            self._look.failed(error)
            raise
        except BaseException:  # the client has left
            self._stream.close()
            self._look.leave()
            raise
        self._look.ended()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received, pieces = self._look.passed.received, aiter(self._stream)
        try:
            async for piece in pieces:
                received(piece)
                yield piece
        except Exception as error:
            await self._look.afailed(error)
            raise
        except BaseException:  # the client has left, or was cancelled
            await self._stream.aclose()
            await pieces.aclose()
            await self._look.aleave()
            raise
        self._look.ended()

    def close(self) -> None:
        """Close it: its client has left, unless it has read all."""
        self._stream.close()
        self._look.leave()

    async def aclose(self) -> None:
        """Do as ``close``."""
        await self._stream.aclose()
        await self._look.aleave()

    def __del__(self) -> None:
        look = getattr(self, "_look", None)
        if look is not None:
            look.dropped()
