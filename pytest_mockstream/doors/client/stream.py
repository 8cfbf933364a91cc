"""``MockStream``: what a consumer iterates, closes, cancels or forgets.

All waiting is done by its ``Playback``; here are no clocks, tasks and threads.

Theory of operation: the state of a stream is in its ledger entry, and the first that settles the entry decides it, and
stops the playback. A read takes a chunk only when all waiting is over, so a read that is cancelled has taken nothing.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Literal, Self, TypeAlias

from pytest_mockstream._base.errors import (
    MalformedChunkError,
    ProviderError,
    ScriptError,
    StreamCancelled,
    StreamDisconnected,
    StreamTimeout,
    UnclosedStreamWarning,
)
from pytest_mockstream._base.wording import counted
from pytest_mockstream.playback import End, Ending, Playback
from pytest_mockstream.playbook.ledger import Entry, State, entry_of
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.chunks import StreamChunk, Transcript
from pytest_mockstream.script.steps import Disconnect, ErrorEvent, Failed, HTTPError, Malformed

from .awaited import Awaited

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Errors: TypeAlias = Literal["raise", "chunk"]


class MockStream(Iterator[StreamChunk], AsyncIterator[StreamChunk]):
    """A scripted stream, read with ``for`` or ``async for``; a client's methods return it.

    A read that is cancelled or times out loses nothing: the next read returns the pending chunk. A stream has one
    reader at a time, and gives each chunk once: a second loop over a stream that was read to its end raises
    ``ScriptError``. When the stream is cancelled, its reader still gets the chunks that had arrived, and then the
    error; after ``close`` it gets nothing more.
    """

    __slots__ = (
        "__weakref__",
        "_awaited",
        "_deltas",
        "_entry",
        "_errors",
        "_over",
        "_playback",
        "_reader",
        "_reasoning",
        "_request",
    )

    def __init__(
        self, playback: Playback[StreamChunk], request: Request, *, errors: Errors, awaited: Awaited | None = None
    ) -> None:
        self._playback = playback
        self._awaited = awaited
        self._errors = errors
        self._reader = threading.Lock()
        self._deltas: list[str] = []
        self._reasoning: list[str] = []
        self._over = False
        self._request = request
        self._entry = entry_of(request)

    def __repr__(self) -> str:
        return f"<MockStream {self.state}, {self._entry.amount_read()} read, opened at {self._request.opened_at}>"

    # Reading.

    def __iter__(self) -> MockStream:
        self._refuse_second_pass()
        return self

    def __aiter__(self) -> MockStream:
        self._refuse_second_pass()
        return self

    @property
    def _is_exhausted(self) -> bool:
        return self._over and self._entry.state == "exhausted"

    def _refuse_second_pass(self) -> None:
        if self._is_exhausted:
            raise ScriptError(
                f"{self!r} was read to its end already, and gives each chunk once: keep the chunks in a list, or call"
                " read() or deltas(), which have what was read before, too"
            )

    def __next__(self) -> StreamChunk:
        if self._awaited is not None:
            self._awaited.refuse_to_block()
        if not self._reader.acquire(blocking=False):
            raise self._taken()
        try:
            chunk = None if self._over else self._accept(self._playback.receive())
        finally:
            self._reader.release()
        if chunk is None:
            raise StopIteration
        return chunk

    async def __anext__(self) -> StreamChunk:
        if not self._reader.acquire(blocking=False):
            raise self._taken()
        try:
            chunk = None if self._over else self._accept(await self._playback.areceive())
        finally:
            self._reader.release()
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    def read(self) -> str:
        """Read to the end and return the whole text, including what was read before.

        Raises:
            MockStreamError: the stream was cancelled or broken; with ``errors="chunk"``, too.
        """
        return "".join(self.deltas())

    async def aread(self) -> str:
        """Do as ``read``, asynchronously."""
        return "".join(await self.adeltas())

    def deltas(self) -> list[str]:
        """Read to the end and return the text of each chunk that has any; raises as ``read`` does."""
        if not self._is_exhausted:
            for chunk in self:
                _raise_error(chunk)
        return list(self._deltas)

    async def adeltas(self) -> list[str]:
        """Do as ``deltas``, asynchronously."""
        if not self._is_exhausted:
            async for chunk in self:
                _raise_error(chunk)
        return list(self._deltas)

    def _taken(self) -> ScriptError:
        return ScriptError(
            f"{self!r} is being read by another task or thread: a stream has one reader at a time."
            " Read it in one place and pass the chunks on, or open a stream for each."
        )

    def _accept(self, got: tuple[float, StreamChunk] | Ending | None) -> StreamChunk | None:
        """Return the chunk that the playback gave; None is the end of the iteration."""
        if self._over:  # closed by another task or thread, while this one was waiting
            return None
        if not isinstance(got, tuple):
            return self._end(got)
        entry = self._entry
        instant, chunk = got
        # The chunk is nobody else's yet, so that stamping it does not change a value that anybody has seen.
        object.__setattr__(chunk, "timestamp", instant)
        entry.chunks_sent += 1
        entry.last_sent_at = instant
        if entry.note is not None:
            entry.note(("chunk", entry.asked_as, self._playback.read_at, instant, chunk))
        if chunk.delta:
            self._deltas.append(chunk.delta)
        if chunk.reasoning:
            self._reasoning.append(chunk.reasoning)
        if chunk.finish_reason is not None:
            entry.settle("exhausted")
            self._over = True
        return chunk

    def _end(self, ending: Ending | None) -> StreamChunk | None:
        cancelled = ending in {End.CANCELLED, End.TIMED_OUT}
        self._entry.settle("cancelled" if cancelled else "broken")
        self._forget_script()
        error = self._error(ending)
        if error is None:
            return None
        if self._errors == "raise" or not isinstance(error, Exception):
            raise error
        self._over = True
        if cancelled and self._playback.was_full:
            return None
        said = Transcript()
        said.append("".join(self._deltas))
        return StreamChunk(
            index=self.chunks_read,
            reasoning="".join(self._reasoning),
            error=error,
            timestamp=self._playback.now(),
            _transcript=said,
        )

    def _error(self, ending: Ending | None) -> BaseException | None:
        after = f"after {counted(self.chunks_read, 'chunk')} (opened at {self._request.opened_at})"
        match ending:
            case End.CANCELLED:
                return StreamCancelled(f"the stream was cancelled {after}")
            case End.TIMED_OUT:
                return StreamTimeout(f"the stream's timeout ran out {after}{self._held()}")
            case Disconnect():
                return StreamDisconnected(f"the stream was disconnected {after}")
            case Malformed(data):
                return MalformedChunkError(data)
            case ErrorEvent() if self._awaited is not None and self._awaited.error is not None:
                return self._awaited.error
            case ErrorEvent(message, type=kind, code=code):
                return ProviderError(message, status=200, type=kind, code=code)
            case Failed(message, code=code, incomplete=incomplete):
                return ProviderError(message, status=200, type=incomplete, code=code)
            case HTTPError(status, type=kind, code=code, message=message):
                wait = ending.seconds_to_wait()
                return ProviderError(message, status=status, retry_after=wait, type=kind, code=code)
        return None

    def _held(self) -> str:
        """Return what held the stream when its time ran out, for a message."""
        if self._awaited is not None and self._awaited.is_computing:
            return ". The function that answers it has not returned"
        return ". A Gate() held it that nobody has opened: call its open()" if self._playback.held_at else ""

    # Leaving.

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def close(self) -> None:
        """Close the stream; a background thread has ended when this returns. From any thread, any number of times."""
        self._leave()
        self._playback.join()

    async def aclose(self) -> None:
        """Close the stream; a background producer has ended when this returns, or soon after if this is cancelled."""
        self._leave()
        await self._playback.ajoin()
        if self._awaited is not None:
            await self._awaited.wait()

    def cancel(self) -> None:
        """End the stream now: its reader gets the chunks that have arrived, then ``StreamCancelled``.

        From any thread or task, at any time; a stream that has ended stays as it is.
        """
        if self._entry.settle("cancelled"):
            self._playback.stop(End.CANCELLED)
            self._forget_script()

    def _leave(self) -> None:
        self._over = True
        if self._entry.settle("closed"):
            self._playback.stop(End.LEFT)
            self._forget_script()

    def _forget_script(self) -> None:
        """End the computation of the script, if it goes on."""
        if self._awaited is not None:
            self._awaited.cancel()

    def __del__(self) -> None:
        entry: Entry | None = getattr(self, "_entry", None)
        if entry is None or not entry.settle("dropped"):
            return
        self._playback.stop(End.LEFT)
        self._forget_script()
        message = (
            f"{self._request} was never closed: only its finaliser did it. A real one would have kept its connection"
            " open and the model generating. Use `async with` or `with`, or close it in a `finally`."
        )
        site = self._request.opened_at
        warnings.warn_explicit(message, UnclosedStreamWarning, site.filename, site.lineno)

    # Looking.

    @property
    def state(self) -> State:
        """What became of the stream.

        ``open``; ``exhausted`` (read to its end); ``closed`` (by the consumer); ``cancelled`` (``cancel()`` or
        ``timeout=``); ``broken`` (by a fault); ``dropped`` (garbage collected unclosed, visible in the record only).
        """
        return self._entry.state

    @property
    def chunks_read(self) -> int:
        """How many chunks were read."""
        return self._entry.chunks_sent

    @property
    def request(self) -> Request:
        """The request in the client's record; it does not keep the stream alive."""
        return self._request

    def assert_closed(self, *, within: float | None = None, after_chunk: int | None = None) -> None:
        """Assert that the consumer left properly, as ``Request.assert_closed`` does."""
        self._request.assert_closed(within=within, after_chunk=after_chunk)


def _raise_error(chunk: StreamChunk) -> None:
    if chunk.error is not None:
        raise chunk.error
