"""The in-process door for everything on httpcore and httpcore2: httpx, httpx2, and what is built on them.

It uses public names of httpcore only (``ConnectionPool``, ``AsyncConnectionPool``, ``Request``, ``Response``, its
exceptions). Clients, transports, mounts, instrumentation and httpx's own mapping of exceptions work as ever. A client
with a transport of the user's own (``MockTransport``, ``ASGITransport``) does not use httpcore and is left alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from pytest_mockstream._base.replace import Replacement
from pytest_mockstream.doors.delivery import Answer
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.passed import Passed

from .door import Door, answering
from .exchange import Exchange
from .httpcore_passed import Look, apass_on, connection_replacements, is_passed, pass_on

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Troubles:
    """The exceptions of httpcore; the texts are its own."""

    def __init__(self, library: ModuleType) -> None:
        self._library = library

    def reset(self, *, begun: bool) -> Exception:
        return self._error("ReadError", "[Errno 104] Connection reset by peer")

    def cut(self, *, begun: bool) -> Exception:
        return self._error(
            "RemoteProtocolError",
            "peer closed connection without sending complete message body (incomplete chunked read)"
            if begun
            else "Server disconnected without sending a response.",
        )

    def timed_out(self, *, begun: bool) -> Exception:
        return self._error("ReadTimeout", "The read operation timed out")

    def closed(self) -> Exception:
        return self._error("ReadError", "the client was closed while this stream was open")

    def unreachable(self) -> Exception:
        return self._error("ConnectError", "[Errno -2] Name or service not known")

    def _error(self, name: str, text: str) -> Exception:
        error: Exception = getattr(self._library, name)(text)
        return error


def httpcore_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in httpcore or httpcore2."""
    troubles = _Troubles(library)
    opened: weakref.WeakKeyDictionary[object, weakref.WeakSet[Exchange]] = weakref.WeakKeyDictionary()

    def refuse_unasked(door: Door, incoming: HTTPRequest) -> None:
        if door.turns_away(incoming):
            raise troubles.unreachable()

    def exchange_of(answer: Answer, pool: object, request: Any) -> Exchange:
        limit = request.extensions.get("timeout", {}).get("read")
        exchange = Exchange(answer, troubles, limit=limit)
        opened.setdefault(pool, weakref.WeakSet()).add(exchange)
        return exchange

    def response(exchange: Exchange) -> Any:
        answer = exchange.answer
        extensions = {"http_version": b"HTTP/1.1", "reason_phrase": exchange.reason.encode("ascii")}
        return library.Response(answer.status, headers=answer.headers, content=exchange, extensions=extensions)

    def handle(original: Callable[..., Any]) -> Callable[..., Any]:
        def handle_request(pool: object, request: Any) -> Any:
            if (door := _door_for(request)) is None:
                return original(pool, request)
            incoming = _incoming(request, b"".join(request.stream))
            refuse_unasked(door, incoming)
            answer = door.answer(incoming)
            if isinstance(answer, Passed):
                look = Look(library, answer, door.drains, is_async=False)
                with door.letting_out(incoming.host):
                    return pass_on(look, original, pool, request, incoming.body)
            exchange = exchange_of(answer, pool, request)
            exchange.start()
            return response(exchange)

        return handle_request

    def handle_async(original: Callable[..., Any]) -> Callable[..., Any]:
        async def handle_async_request(pool: object, request: Any) -> Any:
            if (door := _door_for(request)) is None:
                return await original(pool, request)
            incoming = _incoming(request, b"".join([part async for part in request.stream]))
            refuse_unasked(door, incoming)
            answer = await door.aanswer(incoming)
            if isinstance(answer, Passed):
                look = Look(library, answer, door.drains, is_async=True)
                with door.letting_out(incoming.host):
                    return await apass_on(look, original, pool, request, incoming.body)
            exchange = exchange_of(answer, pool, request)
            await exchange.astart()
            return response(exchange)

        return handle_async_request

    def close(original: Callable[..., Any]) -> Callable[..., Any]:
        def close(pool: object) -> Any:
            for exchange in list(opened.pop(pool, ())):
                exchange.close()
            return original(pool)

        return close

    yield Replacement(library.ConnectionPool, "handle_request", handle)
    yield Replacement(library.ConnectionPool, "close", close)
    yield Replacement(library.AsyncConnectionPool, "handle_async_request", handle_async)
    yield Replacement(library.AsyncConnectionPool, "aclose", close)
    yield from connection_replacements(library)


def _incoming(request: Any, body: bytes) -> HTTPRequest:
    """Return a request, which shows nothing of its body to whoever prints a traceback with its local variables."""
    return HTTPRequest(
        method=request.method.decode("ascii"),
        url=bytes(request.url).decode("ascii"),
        headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in request.headers},
        body=body,
    )


def _door_for(request: Any) -> Door | None:
    url = request.url
    if url.scheme not in {b"http", b"https"} or is_passed(request):
        return None
    target = url.target.decode("ascii", errors="replace")
    return answering(url.host.decode("ascii"), url.port, request.method.decode("ascii"), target)
