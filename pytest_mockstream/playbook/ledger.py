"""What became of every stream that was opened, through whichever door.

Theory of operation: each request has one ``Entry``. Whoever plays its stream keeps the entry up to date; the public
``Request`` and everybody else only read it. The first that is said about the end of a stream counts. An entry never
holds its stream, so a stream that nobody else holds is dropped, whatever the ledger remembers. Finalisers and signal
handlers may settle an entry at any point of any thread, so nothing here takes a lock: whoever pops the entry from the
dict of open streams, which is atomic, has settled it.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.clock import monotonic, sleeps_are_patched
from pytest_mockstream._base.loops import Loop, asyncio_loop, clock_of, running_loop
from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream._base.watching import Note, watcher
from pytest_mockstream._base.wording import counted

if TYPE_CHECKING:
    from pytest_mockstream._base.redaction import Secrets
    from pytest_mockstream.script.script import Script

    from .request import Request
    from .tries import Links

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

State: TypeAlias = Literal["open", "exhausted", "closed", "cancelled", "broken", "dropped"]

_LOOK_AGAIN = 0.01  # seconds
_REMEDY = "Close it: use `with` or `async with`, or call close() or aclose() in a `finally`."

# Every open stream of the process, as asyncio keeps every task: the leak check compares what is open before and after.
# By the id of the entry, which does not hold its request: a cycle of the two would outlive its test.
_open: dict[int, Request] = {}

# Numbers what happens to all entries: requests that are made, and streams that end.
MOMENTS = itertools.count(1)

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
    def loop(self) -> Loop | None:
        """The loop that it plays in, if any."""

    def now(self) -> float:
        """Return the seconds since the opening."""

    def stop(self, ending: Any) -> None:
        """End the playback; ``ending`` is one of ``playback.End``, which this room does not know."""

    def watch(self, note: Note, number: int) -> None:
        """Tell of what happens to it from now on, under the number of its request."""


class Quota(NamedTuple):
    """What is left of a quota: for each kind the limit per minute, what is left, and the seconds until it is full.

    Attributes:
        requests: of requests, or None.
        tokens: of tokens, or None.
    """

    requests: tuple[int, int, float] | None = None
    tokens: tuple[int, int, float] | None = None


class Record(Protocol):
    """Has the requests among which one may be tried again.

    Attributes:
        requests: in order.
        links: which of them are known to try which again; None as long as nobody has asked.
    """

    requests: list[Request]
    links: Links | None


@dataclass(frozen=True, slots=True)
class _LoopClock:
    """The clock of a loop, which it does not keep alive."""

    loop: weakref.ref[asyncio.AbstractEventLoop]

    def __call__(self) -> float:
        loop = self.loop()
        return -inf if loop is None else loop.time()


def asking_clock() -> Callable[[], float]:
    """Return the clock of the loop that runs here, or the real one; it may be read from any thread."""
    loop = running_loop()
    clock = clock_of(loop)
    return clock if clock is monotonic or not (own := asyncio_loop(loop)) else _LoopClock(weakref.ref(own))


@dataclass(frozen=True, slots=True)
class Asker:
    """Who made a request.

    Attributes:
        test: the line in the test's own function, which is told by its name; None if there is none on the stack.
        task: what identifies the task, or the thread, as long as it lives; 0 if that is not known.
        attempts: which attempt it is of each library that tries again by itself, by the library's name.
    """

    test: CallSite | None = None
    task: int = 0
    attempts: dict[str, int] = field(default_factory=dict)


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
        script: what the stream plays, where a script answers the request.
        status: the HTTP status of the answer.
        wait: the seconds for which an error asks its client to wait, or None.
        quota: what the answer says of a quota, or None.
        asked_at: when it was asked, by ``clock``.
        over_at: when the stream was over, by ``clock``; None while it is open.
        asked_as: the number of that moment among all that are noted.
        over_as: the number of the moment at which the stream was over; 0 while it is open.
        clock: the clock of the loop that it was asked in.
        sleeps_patched: whether a test had replaced what its code sleeps with, so that no pause could be measured.
        asker: who made it.
        record: returns the record that it is in, or None.
        request: returns the request, or None.
        links: of a copy: what it tries again, and what tries it again.
        note: is told what happens to the stream; None where nobody watches.
        secrets: what must not be shown of the request: its credentials, and those of the environment at that time.
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
    asked_in: Callable[[], Loop | None] | None = None
    script: Script | None = None
    status: int = 200
    wait: float | None = None
    quota: Quota | None = None
    asked_at: float = 0.0
    over_at: float | None = None
    asked_as: int = 0
    over_as: int = 0
    clock: Callable[[], float] | None = None
    sleeps_patched: bool = False
    asker: Asker = field(default_factory=Asker)
    record: Callable[[], Record | None] = lambda: None
    request: Callable[[], Request | None] = lambda: None
    links: tuple[Request | None, Sequence[Request]] | None = None
    note: Note | None = field(default=None, repr=False)
    secrets: Secrets | None = field(default=None, repr=False)
    _state: State = "open"
    _left_at: float | None = None
    _over: Notifier | None = field(default=None, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Give a copy, or a pickle, what is known now; it follows no stream."""
        known = {
            "number": self.number,
            "chunks_sent": self.chunks_sent,
            "has_bare_frames": self.has_bare_frames,
            "chunk_count": self.chunk_count,
            "last_sent_at": self.last_sent_at,
            "progress": None if self.progress is None else _Past(self.progress.produced, self.left_at or 0.0),
            "remedy": self.remedy,
            "_state": self.state,
            "_left_at": self.left_at,
        }
        request = self.request()
        return _copied, (known,), None if request is None else (None, {"links": (request.retry_of, request.retries)})

    def settle(self, state: State) -> bool:
        """Note how the stream ended. From any thread, finaliser or signal handler.

        Returns:
            Whether this was it: False if the stream had ended before, by its own time-out, too.
        """
        if _open is None:  # the interpreter exits, and without its global lock takes modules apart before objects
            return False
        if _open.pop(id(self), None) is None:
            return False
        timed_out = self._has_timed_out
        if timed_out:
            self._left_at, self._state = self.timeout, "cancelled"
        else:
            self._left_at, self._state = 0.0 if self.progress is None else self.progress.now(), state
        self.over_as = next(MOMENTS)
        self.over_at = None if self.clock is None else self.clock()
        if self.note is not None:
            self.note(("over", self.asked_as, self._left_at, self._state))
        if self._over is not None:
            self._over.notify()
        return not timed_out

    def note_asked(self, clock: Callable[[], float]) -> None:
        """Note that it is asked now, by the clock of who asks."""
        self.clock = clock
        self.asked_at = clock()
        self.asked_as = next(MOMENTS)
        self.sleeps_patched = sleeps_are_patched()

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
    def loop(self) -> Loop | None:
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
        if self.state == "open" and (self.loop is None or self.loop is not running_loop()):
            over.wait(seen, within)

    @property
    def is_open_here(self) -> bool:
        """Whether it is open and only the running loop can close it, so that nobody may block that."""
        loop = running_loop()
        return self.state == "open" and loop is not None and self.loop is loop

    async def settled(self, within: float | None) -> None:
        """Wait in the running loop until the stream is settled, for so many seconds at most."""
        self._over = over = self._over or Notifier()
        now = clock_of(running_loop())
        end = None if within is None else now() + within
        while self.state == "open" and (end is None or now() < end):
            left = None if end is None else end - now()
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


@dataclass(frozen=True, slots=True)
class _Past:
    """The progress of a playback, as it was when its entry was copied."""

    produced: int
    _now: float
    timed_out: ClassVar[bool] = False
    loop: ClassVar[None] = None

    def now(self) -> float:
        return self._now

    def stop(self, ending: Any) -> None:
        """Do nothing: there is nothing to stop."""

    def watch(self, note: Note, number: int) -> None:
        """Do nothing: nothing happens any more."""


def _copied(known: dict[str, Any]) -> Entry:
    return Entry(**known)


def entry_of(request: Request) -> Entry:
    """Return the ledger's entry for a request."""
    return request._entry


def begin(
    request: Request,
    progress: Progress,
    *,
    chunk_count: int | None = None,
    timeout: float | None = None,
    script: Script | None = None,
) -> Entry:
    """Note that a stream plays the answer to a request, and return its entry.

    Args:
        request: what was asked.
        progress: the playback.
        chunk_count: chunks that a whole reading gets; None where there is no end.
        timeout: the seconds after which the playback ends by itself, or None.
        script: what it plays, where a script answers the request.
    """
    entry = entry_of(request)
    entry.script = script
    entry.progress = progress
    entry.chunk_count = chunk_count
    entry.timeout = timeout
    _open[id(entry)] = request
    if (note := watcher()) is not None:
        entry.note = note
        progress.watch(note, entry.asked_as)
        note(("asked", entry.asked_as, entry.asked_at, request))
    for listener in _listeners:
        listener(request)
    return entry


def discard(request: Request) -> Entry:
    """Return the entry of a request that does not count: nobody looks after its stream, and nobody hears of it."""
    entry = entry_of(request)
    entry._state = "exhausted"
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
