"""The in-process door for everything on urllib3: requests, botocore, google-auth, and what is built on them.

It takes the place of ``HTTPConnection.connect`` and gives the connection a socket with nothing behind it but an answer.
All above it is urllib3 at work, as over a network: bodies, retries, timeouts, exceptions, decoding and pools.

Theory of operation: a connection writes its request to the socket in HTTP/1.1; once it is complete, a door answers it.
The answer is read from the socket as HTTP/1.1, one frame at a time, and the connection is closed after it. As with a
real socket, the consumer has left once the socket and all files made of it are closed.

It uses two private names of ``http.client``, ``_tunnel_host`` and ``_tunnel_port``, for what is behind a proxy. Checked
against urllib3 1.26 and 2.0 to 2.8.
"""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from pytest_mockstream._base.replace import Replacement
from pytest_mockstream.doors.http_request import HTTPRequest
from pytest_mockstream.doors.passed import Passed

from .door import Door, answering, may_answer
from .drains import Drains
from .exchange import Exchange
from .urllib3_passed import LiveSocket

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: The attribute that keeps the proxy of a connection as long as it does not matter.
_PROXY = "mockstream_proxy"
#: The attribute of a connection that is being made to the network: a door has decided so.
_GOES_OUT = "mockstream_goes_out"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class _EndOfFile(Exception):
    """The other side has closed the connection, which is no error to who reads from a socket."""


class _Troubles:
    """What a socket raises; urllib3 makes its own exceptions of these."""

    def reset(self, *, begun: bool) -> Exception:
        return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    def cut(self, *, begun: bool) -> Exception:
        return _EndOfFile()

    def timed_out(self, *, begun: bool) -> Exception:
        return TimeoutError("timed out")

    def closed(self) -> Exception:
        return _EndOfFile()

    def unreachable(self) -> Exception:
        return socket.gaierror(socket.EAI_NONAME, "Name or service not known")


_TROUBLES = _Troubles()


class _Sent:
    """What has been sent of a request so far (RFC 9112)."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_answered = False
        self._body_at = 0
        self._read_to = 0
        self._chunked = False
        self.method = self.target = ""
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    @property
    def has_head(self) -> bool:
        """Whether the request line and all headers are there."""
        return self._body_at > 0

    def add(self, data: Any) -> bool:
        """Add what is sent next; return whether the request is complete."""
        self.data += memoryview(data)  # which refuses what a socket refuses, as urllib3 may rely on
        if not self.has_head:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return False
            self._read_head(bytes(self.data[:end]).decode("latin-1"))
            self._body_at = self._read_to = end + 4
        return self._read_chunks() if self._chunked else self._read_length()

    def _read_head(self, head: str) -> None:
        line, *lines = head.split("\r\n")
        self.method, self.target, _ = line.split(" ", 2)
        for name, _, value in (line.partition(":") for line in lines):
            known = self.headers.get(name := name.lower())
            self.headers[name] = value.strip() if known is None else f"{known}, {value.strip()}"
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()

    def _read_length(self) -> bool:
        end = self._body_at + int(self.headers.get("content-length", 0))
        self.body = self.data[self._body_at : end]
        return len(self.data) >= end

    def _read_chunks(self) -> bool:
        while (end := self.data.find(b"\r\n", self._read_to)) >= 0:
            size = int(self.data[self._read_to : end].partition(b";")[0], 16)
            if len(self.data) < end + size + 4:
                break
            self.body += self.data[end + 2 : end + 2 + size]
            self._read_to = end + size + 4
            if not size:
                return True
        return False


class _Socket:
    """Stands in for the socket of a connection.

    Args:
        find_door: returns the door that answers a request, given its method and what it asks for as the request line
            has it, and the whole URL; None lets it go to the network.
        go_out: connects to the network after all, and returns the real socket.
        step_aside: puts the real socket in the place of this one.
        real: the real socket, if the connection has one already.
    """

    def __init__(
        self,
        find_door: Callable[[str, str], tuple[Door | None, str]],
        go_out: Callable[[], Any],
        step_aside: Callable[[Any], None],
        real: Any = None,
    ) -> None:
        self._find_door = find_door
        self._go_out = go_out
        self._step_aside = step_aside
        self._sent = _Sent()
        self._exchange: Exchange | None = None
        self._real = real
        self._live: LiveSocket | None = None
        self._coming: Iterator[bytes] = iter(())
        self._rest = b""
        self._timeout: float | None = None
        self._files = 0
        self._is_closed = False
        self._readable: tuple[socket.socket, ...] = ()

    def __getattr__(self, name: str) -> Any:
        """Return what else a real socket has, where there is one behind it."""
        if name.startswith("_") or self._real is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self._real, name)

    # Writing.

    def sendall(self, data: Any) -> None:
        """Take a part of the request; the last one has it answered."""
        if self._exchange is not None:
            return
        if self._sent.is_answered:  # the connection is used again
            self._sent = _Sent()
        is_complete = self._sent.add(data)
        if not self._sent.has_head:
            return
        door, url = self._find_door(self._sent.method, self._sent.target)
        if door is None:
            real = self._connected()
            real.sendall(bytes(self._sent.data))
            self._step_aside(real)
        elif is_complete:
            self._answer(door, url)
        elif "100-continue" in self._sent.headers.get("expect", "").lower() and not self._sent.body:
            self._rest = _CONTINUE

    def _answer(self, door: Door, url: str) -> None:
        sent = self._sent
        sent.is_answered = True
        incoming = HTTPRequest(method=sent.method, url=url, headers=sent.headers, body=bytes(sent.body))
        if door.turns_away(incoming):
            raise _TROUBLES.unreachable()
        answer = door.answer(incoming)
        if isinstance(answer, Passed):
            with door.letting_out(incoming.host):
                self._pass_on(answer, door.drains)
            return
        self._exchange = Exchange(answer, _TROUBLES, limit=self._timeout)
        self._coming = _response(self._exchange, sent.method)

    def _pass_on(self, passed: Passed, drains: Drains) -> None:
        """Send the request to its provider."""
        try:
            real = self._connected()
            self._live = LiveSocket(real, passed, drains, self._sent.method)
            real.sendall(bytes(self._sent.data))
        except Exception as error:
            passed.ended("silence" if "Timeout" in type(error).__name__ else "reset")
            raise
        except BaseException:
            passed.left()
            raise

    def _connected(self) -> Any:
        if self._real is None:
            self._real = self._go_out()
        return self._real

    # Reading.

    def settimeout(self, seconds: float | None) -> None:
        """Set the longest wait for the next bytes."""
        self._timeout = seconds
        if self._exchange is not None:
            self._exchange.limit = seconds
        if self._real is not None:
            self._real.settimeout(seconds)

    def gettimeout(self) -> float | None:
        """Return the longest wait for the next bytes."""
        return self._timeout

    def recv_into(self, buffer: Any) -> int:
        """Read what comes next, as much as there is room for; 0 at the end."""
        if self._live is not None and not self._rest and self._exchange is None:
            return self._live.recv_into(buffer)
        data = self._rest or next(self._coming, None)
        if data is None:
            if self._exchange is None:  # a server would wait for the rest of the request
                raise _TROUBLES.timed_out(begun=False)
            return 0
        size = len(data)
        if size <= len(buffer):
            buffer[:size] = data
            self._rest = b""
            return size
        size = len(buffer)
        buffer[:] = data[:size]
        self._rest = data[size:]
        return size

    def makefile(self, mode: str = "rb", buffering: int | None = None) -> io.RawIOBase | io.BufferedReader:
        """Return a file to read from."""
        self._files += 1
        raw = _Raw(self)
        return raw if buffering == 0 else io.BufferedReader(raw)

    def fileno(self) -> int:
        """Return a number that looks readable to whoever waits for an answer, as botocore does after ``Expect``."""
        if self._real is not None:
            return int(self._real.fileno())
        if not self._readable:
            self._readable = socket.socketpair()
            self._readable[1].send(b"\n")
        return self._readable[0].fileno()

    # Leaving.

    def shutdown(self, how: int) -> None:
        """End the answer for whoever reads it, in whichever thread."""
        if self._exchange is not None:
            self._exchange.close()
        if self._live is not None:
            self._live.shutdown(how)

    def close(self) -> None:
        """Close the socket; files that were made of it go on."""
        self._is_closed = True
        self._leave_if_unused()

    def file_closed(self) -> None:
        """Note that one of the files is closed."""
        self._files -= 1
        self._leave_if_unused()

    def _leave_if_unused(self) -> None:
        if self._is_closed and not self._files:
            for end in self._readable:
                end.close()
            self._readable = ()
            if self._exchange is not None:
                self._exchange.close()
            if self._live is not None:
                self._live.close()
            elif self._real is not None:
                self._real.close()


class _Raw(io.RawIOBase):
    """Reads from a socket without a buffer of its own."""

    def __init__(self, sock: _Socket) -> None:
        self._sock = sock

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        return self._sock.recv_into(buffer)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            super().close()
            self._sock.file_closed()


def _response(exchange: Exchange, method: str) -> Iterator[bytes]:
    """Yield an answer as HTTP/1.1, its body by frames; raises what a socket does."""
    answer = exchange.answer
    try:
        exchange.start()
        head = f"HTTP/1.1 {answer.status} {exchange.reason}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
        head += "connection: close\r\n"
        if method == "HEAD":
            yield f"{head}\r\n".encode("latin-1")
            return
        pieces = exchange.pieces()
        first = b"" if answer.headers_first else next(pieces, b"")
        if answer.whole:
            yield f"{head}content-length: {len(first)}\r\n\r\n".encode("latin-1") + first
            next(pieces, b"")  # the end
            return
        yield f"{head}transfer-encoding: chunked\r\n\r\n".encode("latin-1")
        for piece in chain(filter(None, (first,)), pieces):
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
    except _EndOfFile:
        return


def urllib3_hook(library: ModuleType) -> Iterator[Replacement]:
    """Return what to replace in ``urllib3.connection``."""
    # While a cassette of vcrpy is in use, a class of its own stands there, which is made of urllib3's.
    plain, secure = (
        next(kind for kind in getattr(library, name).__mro__ if kind.__module__ == library.__name__)
        for name in ("HTTPConnection", "HTTPSConnection")
    )
    if not any(kind.__module__ == "http.client" for kind in plain.__mro__):
        return  # urllib3-future, which goes by the name of urllib3, has connections of its own

    def connecting(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(connection: Any) -> None:
            proxy = connection.proxy = vars(connection).pop(_PROXY, None) or connection.proxy
            if _is_http2(connection) or vars(connection).get(_GOES_OUT) or not _may_be_ours(connection):
                original(connection)
                return

            def go_out() -> Any:
                connection.proxy = vars(connection).pop(_PROXY)
                vars(connection)[_GOES_OUT] = True
                try:
                    original(connection)
                finally:
                    del vars(connection)[_GOES_OUT]
                    real, connection.sock = connection.sock, stand_in
                return real

            connection.sock = stand_in = _stand_in(connection, go_out)
            connection.is_verified = True
            # As long as it has a proxy, urllib3 takes what breaks before the answer for the proxy's trouble.
            vars(connection)[_PROXY], connection.proxy = proxy, None

        return connect

    def asking(original: Callable[..., Any]) -> Callable[..., Any]:
        def putrequest(connection: Any, *args: Any, **kwargs: Any) -> Any:
            real = connection.sock
            is_real = real is not None and not isinstance(real, _Socket) and not _is_http2(connection)
            if is_real and _may_be_ours(connection):  # it was connected before this door opened
                connection.sock = _stand_in(connection, lambda: real, real)
            return original(connection, *args, **kwargs)

        return putrequest

    yield Replacement(plain, "putrequest", asking)
    yield Replacement(plain, "connect", connecting)
    yield Replacement(secure, "connect", connecting)


def _is_forwarded(connection: Any) -> bool:
    """Tell whether a proxy forwards what is asked, which is told the whole URL in the request line.

    Only there it is known who is asked.
    """
    return (vars(connection).get(_PROXY) or connection.proxy) is not None and not connection._tunnel_host


def _may_be_ours(connection: Any) -> bool:
    """Tell whether a door may answer what is asked through a connection."""
    origin = urlsplit(origin_of(connection))
    return _is_forwarded(connection) or may_answer(origin.hostname or "", origin.port)


def _stand_in(connection: Any, go_out: Callable[[], Any], real: Any = None) -> _Socket:
    """Return what stands in for the socket of a connection."""
    origin, is_forwarded = urlsplit(origin_of(connection)), _is_forwarded(connection)

    def find_door(method: str, target: str) -> tuple[Door | None, str]:
        url = target if is_forwarded else origin.geturl() + target
        asked = urlsplit(url)
        return answering(asked.hostname or "", asked.port, method, asked.path), url

    def step_aside(real: Any) -> None:
        connection.sock = real

    return _Socket(find_door, go_out, step_aside, real)


def origin_of(connection: Any) -> str:
    """Return scheme, host and port of what a connection is for, as a URL; of a proxy that forwards, its own."""
    host, port = connection.host, connection.port
    if connection._tunnel_host:
        host, port = connection._tunnel_host, connection._tunnel_port
    scheme = "https" if connection.default_port == 443 else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _is_http2(connection: Any) -> bool:
    module = sys.modules.get("urllib3.http2.connection")
    return module is not None and isinstance(connection, module.HTTP2Connection)
