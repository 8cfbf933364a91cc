"""The channel between a producer and its reader: a bounded buffer, the clock they go by, and how the producer ended.

It waits for nothing and starts no task and no thread.

Theory of operation: the buffer needs no lock, having one producer and one reader. ``Channel.stop`` only writes
attributes, the ending before the limit, and the producer still delivers what was due at that instant; so finalisers and
signal handlers may call it at any point of any thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Generic, TypeAlias, TypeVar

from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream._base.watching import Note
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import Fault

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")


class End(Enum):
    """How a playback ended, where no fault of its script ended it."""

    WHOLE = "whole"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LEFT = "left"


Ending: TypeAlias = End | Fault


@dataclass(frozen=True, slots=True)
class _Stop:
    instant: float
    ending: End


class Channel(Generic[T]):
    """What a producer and its reader share; the reader's side is ``Playback``.

    Instants are in seconds since the opening of the stream.

    Attributes:
        clock: tells the time, in seconds from wherever it likes.
        origin: what ``clock`` showed at instant 0; once the clock was changed, what the new one would have shown.
        floor: what ``now`` never falls below: a timer may fire a rounding error before the instant it was set for.
        buffer: what has arrived and was not read yet, each unit with its instant.
        size: how many units the producer may be ahead of the reader.
        produced: how many units have arrived in all.
        reads: when the reads were that made room for units to come.
        limit: the instant after which nothing arrives any more; ``inf`` for none.
        is_background: whether somebody other than the reader drives the producer.
        ending: how the producer ended; None while it has not. Read it before the buffer: what arrived came first.
        was_full: whether the buffer was full when the producer was stopped.
        held_at: the closed gate that holds the producer.
        reader_wakeup: notified when there is something new for the reader: a unit, the end, a gate, a stop.
        producer_wakeup: notified when there is something new for the producer: room, an open gate, a stop.
        note: is told what happens, and under which number; None where nobody watches.
    """

    __slots__ = (
        "__weakref__",
        "_gates_opened",
        "_stop",
        "_timeout",
        "buffer",
        "clock",
        "ending",
        "floor",
        "held_at",
        "is_background",
        "limit",
        "note",
        "origin",
        "produced",
        "producer_wakeup",
        "reader_wakeup",
        "reads",
        "size",
        "was_full",
    )

    def __init__(self, clock: Callable[[], float], *, size: int, timeout: float | None, background: bool) -> None:
        self.clock = clock
        self.origin = clock()
        self.floor = 0.0
        self._timeout = self.limit = inf if timeout is None else timeout
        self.is_background = background
        self._stop: _Stop | None = None
        self._gates_opened: dict[Gate, float] = {}
        self.size = size
        self.buffer: deque[tuple[float, T]] = deque()
        self.produced = 0
        self.ending: Ending | None = None
        self.was_full = False
        self.reads: deque[float] = deque()
        self.held_at: Gate | None = None
        self.reader_wakeup = Notifier()
        self.producer_wakeup = Notifier()
        self.note: tuple[Note, int] | None = None

    def now(self) -> float:
        """Return the seconds since the opening."""
        now, floor = self.clock() - self.origin, self.floor
        return now if now > floor else floor  # noqa: FURB136 - for each chunk; max() takes as long as the clock

    def waited_until(self, instant: float) -> None:
        """Note that a timer for ``instant`` has fired: it is no earlier now, whatever the clock says."""
        self.floor = max(self.floor, instant)

    def follow(self, clock: Callable[[], float]) -> None:
        """Go on by another clock; ``now`` stays what it is."""
        elapsed = self.now()
        self.clock = clock
        self.origin = clock() - elapsed

    @property
    def has_timeout(self) -> bool:
        """Whether the producer stops by itself."""
        return self._timeout < inf

    def present(self) -> float:
        """Return ``now``, or the limit once that has passed."""
        return min(self.now(), self.limit)

    def is_over(self) -> bool:
        """Whether the limit has passed."""
        limit = self.limit
        return limit < inf and self.now() >= limit

    def stop(self, ending: End) -> None:
        """End the producer now; later stops change nothing. Callable from any thread, finaliser or signal handler."""
        if self._stop is None:
            # A reader may make room before a producer in the background gets to see that it was stopped.
            self.was_full = self.is_background and len(self.buffer) >= self.size
            self._stop = _Stop(self.now(), ending)
            self.limit = min(self._timeout, self._stop.instant)
        self.producer_wakeup.notify()
        self.reader_wakeup.notify()

    def gate_opened(self, gate: Gate) -> None:
        """Note that a gate of the schedule has just been opened; the gate itself calls this."""
        self._gates_opened[gate] = self.now()  # one step: two threads may open two gates at once
        self.producer_wakeup.notify()
        self.reader_wakeup.notify()

    def opened_at(self, gate: Gate) -> float:
        """Return when a gate was opened; 0 if before the opening of the stream."""
        return self._gates_opened.get(gate, 0.0)

    def hold_at(self, gate: Gate | None) -> None:
        """Note which gate holds the producer; a reader that waits already has then reached it."""
        self.held_at = gate
        self.tell("gate", gate is not None)
        self.wake_reader()

    def tell(self, what: str, detail: object) -> None:
        """Tell whoever watches what happens now."""
        if self.note is not None:
            note, number = self.note
            note((what, number, self.now(), detail))

    def wake_reader(self) -> None:
        """Wake the reader, unless the reader itself is driving the producer."""
        if self.is_background:
            self.reader_wakeup.notify()

    def finish(self, ending: Ending) -> None:
        """Note how the producer ended."""
        self.ending = ending
        self.wake_reader()

    def ending_when_stopped(self) -> Ending:
        """Return how the producer ends, given that the limit has passed."""
        self.was_full = self.was_full or len(self.buffer) >= self.size
        stop = self._stop
        return End.TIMED_OUT if stop is None or self._timeout < stop.instant else stop.ending
