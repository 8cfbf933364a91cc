"""Looks on at a request that goes to its provider through urllib3: reads what comes out of the real socket."""

from __future__ import annotations

from typing import Any

from pytest_mockstream._base import clock
from pytest_mockstream.doors.passed import Passed

from .answer_reader import AnswerReader
from .drains import Drains
from .exchange import in_finaliser

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MOST = 2**16  # bytes to read at once
_LEAST = 0.001  # seconds to wait: 0 is another mode of sockets


class LiveSocket:
    """A real socket, through which one request has gone.

    Args:
        real: the socket, or what TLS has made of it.
        passed: takes what comes.
        drains: reads the rest once the client has left.
        method: of the request.

    Attributes:
        real: the socket.
    """

    def __init__(self, real: Any, passed: Passed, drains: Drains, method: str) -> None:
        self.real = real
        self._reader = AnswerReader(passed, method)
        self._passed = passed
        self._drains = drains
        self._is_left = False

    def recv_into(self, buffer: Any) -> int:
        """Read what comes next; raises what the socket does."""
        try:
            size: int = self.real.recv_into(buffer)
        except TimeoutError:
            self._reader.ended("silence")
            raise
        except OSError:
            self._reader.ended("reset")
            raise
        if size:
            self._reader.feed(bytes(buffer[:size]))
        elif len(buffer):
            self._reader.closed()
        return size

    def shutdown(self, how: int) -> None:
        """End the answer for whoever reads it; nothing more can come then."""
        if not self._reader.is_over:
            self._passed.left()
            self._reader.stop()
        self.real.shutdown(how)

    def close(self) -> None:
        """Close the socket, once the rest is read of an answer that the client has left."""
        if self._is_left:
            return
        self._is_left = True
        if self._reader.is_over:
            self.real.close()
            return
        if in_finaliser():
            self._passed.dropped()
        else:
            self._passed.left()
        if not self._drains.in_thread(self._drain, self._passed.drain):
            self.real.close()

    def __del__(self) -> None:
        if not getattr(self, "_is_left", True) and not self._reader.is_over:
            self._is_left = True
            self._passed.dropped()
            self._drains.later(self._start)

    def _start(self) -> None:
        self._drains.in_thread(self._drain, self._passed.drain)

    def _drain(self) -> None:
        end = clock.monotonic() + self._passed.drain
        try:
            while not self._reader.is_over and (left := end - clock.monotonic()) > 0:
                self.real.settimeout(max(_LEAST, left))
                if data := self.real.recv(_MOST):
                    self._reader.feed(data)
                else:
                    self._reader.closed()
        except OSError:
            if clock.monotonic() < end:
                self._reader.ended("reset")
        finally:
            self._reader.stop()
            self.real.close()
