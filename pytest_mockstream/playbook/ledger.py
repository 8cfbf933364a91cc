"""What became of every stream that was opened, through whichever door.

Theory of operation: each request has one ``Entry``. Whoever plays its stream keeps the entry up to date; the public
``Request`` and everybody else only read it. The first that is said about the end of a stream counts. An entry never
holds its stream, so a stream that nobody else holds is dropped, whatever the ledger remembers. Finalisers and signal
handlers may settle an entry at any point of any thread, so nothing here takes a lock: whoever pops the entry from the
dict of open streams, which is atomic, has settled it.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, _get_running_loop, get_running_loop
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream._base.wording import counted

if TYPE_CHECKING:
    from .request import Request

State: TypeAlias = Literal["open", "exhausted", "closed", "cancelled", "broken", "dropped"]

_LOOK_AGAIN = 0.01  # seconds
_REMEDY = "Close it: use `with` or `async with`, or call close() or aclose() in a `finally`."

# Every open stream of the process, as asyncio keeps every task: the leak check compares what is open before and after.
# By the id of the entry, which does not hold its request: a cycle of the two would outlive its test.
_open: dict[int, Request] = {}

# Who wants to hear of every stream that is opened.
_listeners: list[Callable[[Request], None]] = []


class Progress(Protocol):
    """What the ledger asks of a playback, long after its stream may be gone."""

    @property
    def produced(self) -> int:
        """How many chunks have arrived by now, read or not."""

    @property
    def timed_out(self) -> bool:
        """Whether the time that the stream was given has run out before its end."""

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The loop that it plays in, if any."""

    def now(self) -> float:
        """Return the seconds since the opening."""

    def stop(self, ending: Any) -> None:
        """End the playback; ``ending`` is one of ``playback.End``, which this room does not know."""


@dataclass(eq=False, slots=True)
class Entry:
    """What became of one request's stream.

    Attributes:
        number: position of the request in its record, from 1; 0 until it is recorded.
        chunks_sent: chunks handed to the consumer.
        has_bare_frames: whether frames were handed over that hold no chunk.
        chunk_count: chunks that a whole reading would have got; None where there is no end.
        last_sent_at: when the last chunk was handed over, in seconds since the opening.
        timeout: the seconds that the stream was given, or None.
        progress: the playback behind the stream, or None where none was begun.
        remedy: how whoever opened it closes such a stream.
        catch_up: waits until a player in another thread has seen everything that has reached it; or None.
        asked_in: returns the loop that it was asked in, where it plays in another; or None.
    """

    number: int = 0
    chunks_sent: int = 0
    has_bare_frames: bool = False
    chunk_count: int | None = None
    last_sent_at: float = 0.0
    timeout: float | None = None
    progress: Progress | None = None
    remedy: str = _REMEDY
    catch_up: Callable[[], None] | None = None
    asked_in: Callable[[], AbstractEventLoop | None] | None = None
    _state: State = "open"
    _left_at: float | None = None
    _over: Notifier | None = field(default=None, repr=False)

    def settle(self, state: State) -> bool:
        """Note how the stream ended. From any thread, finaliser or signal handler.

        Returns:
            Whether this was it: False if the stream had ended before, by its own time-out, too.
        """
        if _open.pop(id(self), None) is None:
            return False
        timed_out = self._has_timed_out
        if timed_out:
            self._left_at, self._state = self.timeout, "cancelled"
        else:
            self._left_at, self._state = 0.0 if self.progress is None else self.progress.now(), state
        if self._over is not None:
            self._over.notify()
        return not timed_out

    @property
    def state(self) -> State:
        """What became of the stream; see ``Request.state``."""
        if self._state == "open" and self.catch_up is not None:
            self.catch_up()
        return "cancelled" if self._state == "open" and self._has_timed_out else self._state

    @property
    def left_at(self) -> float | None:
        """When the stream was over, in seconds since the opening; None while it is open."""
        return self.timeout if self._state == "open" and self._has_timed_out else self._left_at

    @property
    def _has_timed_out(self) -> bool:
        return self.timeout is not None and self.progress is not None and self.progress.timed_out

    @property
    def loop(self) -> AbstractEventLoop | None:
        """The loop that the consumer reads in, if any."""
        if self.asked_in is not None:
            return self.asked_in()
        return None if self.progress is None else self.progress.loop

    @property
    def chunks_wasted(self) -> int:
        """How many chunks had arrived and were never taken."""
        return 0 if self.progress is None else max(0, self.progress.produced - self.chunks_sent)

    def wait_settled(self, within: float) -> None:
        """Block this thread until the stream is settled, for so many seconds at most; not a loop that it plays in."""
        self._over = over = self._over or Notifier()
        seen = over.count
        if self.state == "open" and (self.loop is None or self.loop is not _get_running_loop()):
            over.wait(seen, within)

    @property
    def is_open_here(self) -> bool:
        """Whether it is open and only the running loop can close it, so that nobody may block that."""
        loop = _get_running_loop()
        return self.state == "open" and loop is not None and self.loop is loop

    async def settled(self, within: float | None) -> None:
        """Wait in the running loop until the stream is settled, for so many seconds at most."""
        self._over = over = self._over or Notifier()
        loop = get_running_loop()
        end = None if within is None else loop.time() + within
        while self.state == "open" and (end is None or loop.time() < end):
            left = None if end is None else end - loop.time()
            # Nobody says when its own time-out is over, or when another thread has seen it end.
            if self.timeout is not None or self.catch_up is not None:
                left = _LOOK_AGAIN if left is None else min(_LOOK_AGAIN, left)
            await over.wait_async(over.count, left)

    def amount_read(self) -> str:
        """Return how much the consumer has read, for a message."""
        bare = " (only frames without content)" if self.has_bare_frames and not self.chunks_sent else ""
        if self.chunk_count is None:
            return counted(self.chunks_sent, "chunk") + bare
        return f"{self.chunks_sent} of {counted(self.chunk_count, 'chunk')}{bare}"


def entry_of(request: Request) -> Entry:
    """Return the ledger's entry for a request."""
    return request._entry


def begin(
    request: Request, progress: Progress, *, chunk_count: int | None = None, timeout: float | None = None
) -> Entry:
    """Note that a stream plays the answer to a request, and return its entry.

    Args:
        request: what was asked.
        progress: the playback.
        chunk_count: chunks that a whole reading gets; None where there is no end.
        timeout: the seconds after which the playback ends by itself, or None.
    """
    entry = entry_of(request)
    entry.progress = progress
    entry.chunk_count = chunk_count
    entry.timeout = timeout
    _open[id(entry)] = request
    for listener in _listeners:
        listener(request)
    return entry


def open_requests() -> list[Request]:
    """Return the requests whose streams are open now, through every door of the process."""
    return [request for request in list(_open.values()) if request.state == "open"]


@contextmanager
def opened_requests() -> Iterator[list[Request]]:
    """Collect the requests whose streams are opened meanwhile, through every door of the process."""
    opened: list[Request] = []
    note = opened.append
    _listeners.append(note)
    try:
        yield opened
    finally:
        _listeners.remove(note)
