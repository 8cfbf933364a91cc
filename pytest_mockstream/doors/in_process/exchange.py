"""``Exchange``: an answer as an HTTP library reads it, in pieces of a body, or the library's own exceptions.

It knows no HTTP library; each gives its exceptions as ``Troubles``.

Theory of operation: whoever reads a piece waits until the piece has arrived, at most for the library's read timeout.
``close`` means that the consumer has left: it closed the response, or an error or a cancellation ended its reading, or
the client was closed. An async generator that is dropped is closed by its loop at once, which counts as closing, too.
Being closed by a finaliser does not count: the consumer forgot the stream, and it is dropped.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Protocol

from pytest_mockstream.doors.delivery import Answer, Close
from pytest_mockstream.playback import End, Ending
from pytest_mockstream.script.steps import Disconnect, ErrorEvent
from pytest_mockstream.wire import WireFrame

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Each of the first reads of a stream lets other tasks run, and after them one read of many: so a test can cancel its
#: reader at every chunk of a short stream, and a turn of the loop, which costs more than a chunk, does not slow a long
#: one down.
_FIRST_READS = 32
_EVERY_READ = 128
#: How many callers to look through for a finaliser: more than the HTTP libraries have between theirs and ``close``.
_FRAMES_ABOVE = 12


class Troubles(Protocol):
    """The exceptions of an HTTP library. ``begun`` tells whether status and headers have arrived."""

    def reset(self, *, begun: bool) -> Exception:
        """Return the exception for a connection that is reset."""

    def cut(self, *, begun: bool) -> Exception:
        """Return the exception for a connection that is closed too early."""

    def timed_out(self, *, begun: bool) -> Exception:
        """Return the exception for a read timeout."""

    def closed(self) -> Exception:
        """Return the exception for reading when the client was closed."""

    def unreachable(self) -> Exception:
        """Return the exception for a host that cannot be connected to."""


class Exchange:
    """An answer being read.

    Args:
        answer: what to send.
        troubles: the library's exceptions.
        limit: the library's read timeout in seconds, or None.

    Attributes:
        answer: what is sent.
        limit: the read timeout; may change between two reads.
    """

    __slots__ = ("__weakref__", "_begun", "_frame", "_held", "_left", "_reads", "_troubles", "answer", "limit")

    def __init__(self, answer: Answer, troubles: Troubles, *, limit: float | None) -> None:
        self.answer = answer
        self.limit = limit
        self._troubles = troubles
        self._begun = answer.headers_first
        self._held: tuple[float, WireFrame] | Ending | None = None
        self._left = False
        self._reads = 0
        self._frame = WireFrame(b"")

    # Status and headers.

    @property
    def reason(self) -> str:
        """The reason phrase of the status; empty for one that is not HTTP's own, such as Anthropic's 529."""
        try:
            return HTTPStatus(self.answer.status).phrase
        except ValueError:
            return ""

    def start(self) -> None:
        """Wait until status and headers arrive; raises as ``read`` does."""
        if not self._begun:
            try:
                self._begin(self.answer.playback.receive(self.limit))
            except BaseException:
                self.close()
                raise

    async def astart(self) -> None:
        """Do as ``start``, asynchronously."""
        if not self._begun:
            try:
                self._begin(await self.answer.playback.areceive(self.limit))
            except BaseException:
                self.close()
                raise

    def _begin(self, got: tuple[float, WireFrame] | Ending | None) -> None:
        if not isinstance(got, tuple):
            self._end(got)
        self._held = got
        self._begun = True

    # The body.

    def read(self) -> bytes:
        """Return the next piece of the body; empty bytes at its end.

        Raises:
            Exception: the library's own, for a broken connection and for silence longer than ``limit``.
        """
        while True:
            got, self._held = self._held, None
            got = self.answer.playback.receive(self.limit) if got is None else got
            if (piece := self._accept(got)) or not isinstance(got, tuple):  # a frame may have no bytes
                return piece

    async def aread(self) -> bytes:
        """Do as ``read``, asynchronously. Cancelled at any point, it loses nothing."""
        while True:
            got, self._held = self._held, None
            if got is None:
                self._reads += 1
                is_turn = self._reads <= _FIRST_READS or not self._reads % _EVERY_READ
                if is_turn or (got := self.answer.playback.take()) is None:
                    got = await self.answer.playback.areceive(self.limit)
            if (piece := self._accept(got)) or not isinstance(got, tuple):
                return piece

    def read_tail(self) -> bytes | None:
        """Return the next piece without waiting, if it has arrived and the model's last chunk was read before it.

        Returns:
            None if there is no such piece. Empty bytes are the end of the body, as in ``read``.
        """
        frame, entry = self._frame, self.answer.entry
        # The last chunk may come in several frames, of which only one counts as it: the others say that it has begun.
        begun = entry.chunks_sent + (not frame.chunks)
        is_said = frame.last or begun >= (entry.chunk_count or 0)
        if not is_said or self._held is not None:
            return None
        got = self.answer.playback.take()
        if got is None or isinstance(got, Disconnect):
            self._held = got
            return None
        piece = self._accept(got)
        return self.read_tail() if not piece and isinstance(got, tuple) else piece

    def _accept(self, got: tuple[float, WireFrame] | Ending | None) -> bytes:
        if self._left:  # by another task or thread, while this one was waiting
            raise self._troubles.closed()
        if isinstance(got, tuple):
            self._frame = got[1]
            return self.answer.delivered(*got)
        self._end(got)
        return b""

    def _end(self, ending: Ending | None) -> None:
        if ending is None:
            error = self._troubles.timed_out(begun=self._begun)
            if self.answer.playback.held_at is not None:
                error.add_note("pytest-mockstream: a Gate() held the stream that nobody has opened: call its open()")
            self.answer.leave("broken")
            raise error
        if ending is End.LEFT:
            raise self._troubles.closed()
        close = self.answer.finished(ending)
        if close is Close.RESET:
            raise self._troubles.reset(begun=self._begun)
        if close is Close.CUT:
            raise self._troubles.cut(begun=self._begun)

    def pieces(self) -> Iterator[bytes]:
        """Yield what ``read`` would return, piece by piece; whoever stops reading has not left yet."""
        receive, take, delivered = self.answer.playback.receive, self.answer.playback.take, self.answer.delivered
        while True:  # once for each chunk: calls are what it costs
            got, self._held = self._held, None
            if got is None and (got := take()) is None:
                got = receive(self.limit)
            if not isinstance(got, tuple) or self._left:
                self._accept(got)  # the end, or an error
                return
            self._frame = got[1]
            if data := delivered(*got):  # a frame may have no bytes
                if not self._frame.chunks:
                    self._look_for_error()
                yield data

    def _look_for_error(self) -> None:
        """Note the end of a stream whose error has been handed over: whoever gets it may neither read on nor close."""
        if self._held is None:
            self._held = self.answer.playback.take()
            if isinstance(self._held, ErrorEvent):
                self.answer.finished(self._held)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.pieces()
        finally:
            self.close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        receive, take, delivered = self.answer.playback.areceive, self.answer.playback.take, self.answer.delivered
        reads = 0
        try:
            while True:  # once for each chunk: calls are what it costs
                got, self._held = self._held, None
                if got is None:
                    reads += 1
                    if reads <= _FIRST_READS or not reads % _EVERY_READ or (got := take()) is None:
                        got = await receive(self.limit)
                if not isinstance(got, tuple) or self._left:
                    self._accept(got)  # the end, or an error
                    return
                self._frame = got[1]
                yield delivered(*got)
        finally:
            self.close()

    # Leaving.

    def close(self) -> None:
        """Note that the consumer has left. From anywhere, any number of times.

        Called by a finaliser, the stream counts as dropped.
        """
        if self._left:
            return
        self._left = True
        if in_finaliser():
            self.answer.dropped()
        else:
            self.answer.leave()

    async def aclose(self) -> None:
        """Do as ``close``; nothing is awaited."""
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_left", True):
            self.answer.dropped()


def in_finaliser() -> bool:
    """Tell whether a finaliser has called, through an HTTP library or not."""
    frame = sys._getframe(1)
    for _ in range(_FRAMES_ABOVE):
        if frame.f_back is None:
            return False
        frame = frame.f_back
        name = frame.f_code.co_name
        # The finaliser of a file object is in C, and calls its close(); it notes that in the object.
        if name == "__del__" or (name == "close" and getattr(frame.f_locals.get("self"), "_finalizing", False)):
            return True
    return False
