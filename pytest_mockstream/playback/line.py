"""The producer of a playback, and the bounded line on which it meets the reader.

The wall: knows a clock and works out instants; waits for nothing, and starts no task and no thread.

Theory of operation: ``produce`` is the producer, written once as a generator. It puts units on a ``Line`` (a bounded
buffer with a clock) and yields whenever it has to wait: the instant until which, or ``inf`` for "until something
happens". Instants are worked out, not measured: unit i arrives at ``max(a[i-1] + d[i], r[i-B])``, where d are the waits
of the schedule, r the instants of the reads and B the size of the buffer. So whoever resumes the generator, the units
and their instants are the same.

``Line.stop`` writes attributes, the ending before the limit, and the producer still delivers what was due at that
instant. Finalisers and signal handlers may thus call it at any point of any thread. The buffer needs no lock, having
one producer and one reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Generic, TypeAlias, TypeVar

from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import FAULTS, Fault, KeepAlive, Played, Stall, Wait

T = TypeVar("T")


class End(Enum):
    """How a playback ended, where no fault of its script ended it."""

    WHOLE = "whole"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LEFT = "left"


Ending: TypeAlias = End | Fault
_MARKS = frozenset((Wait, Gate, KeepAlive, *FAULTS))
Producer: TypeAlias = "Generator[float, None, None]"


@dataclass(frozen=True, slots=True)
class _Stop:
    instant: float
    ending: End


class Line(Generic[T]):
    """What a producer and its reader share; the reader's side is ``Playback``.

    Attributes:
        clock: tells the time, in seconds.
        origin: what the clock said at the opening, had it gone at the same pace all the time.
        floor: what ``now`` never falls below.
        buffer: what has arrived and was not read yet.
        size: how many units the producer may be ahead.
        produced: how many units have arrived in all.
        reads: when room was made for units that have not come yet.
        limit: the instant after which nothing arrives any more.
        is_background: whether somebody other than the reader drives the producer.
        ending: how the producer ended; None while it has not. Read it before the buffer: what arrived came first.
        crowded: whether the buffer was full when the producer was stopped.
        standing_at: the closed gate that the producer waits at.
        arrivals: notified when the reader has something to look at.
        wishes: notified when the producer has.
    """

    __slots__ = (
        "__weakref__",
        "_gates_opened",
        "_stop",
        "_timeout",
        "arrivals",
        "buffer",
        "clock",
        "crowded",
        "ending",
        "floor",
        "is_background",
        "limit",
        "origin",
        "produced",
        "reads",
        "size",
        "standing_at",
        "wishes",
    )

    def __init__(self, clock: Callable[[], float], *, size: int, timeout: float | None, background: bool) -> None:
        self.clock = clock
        self.origin = clock()
        self.floor = 0.0
        self._timeout = self.limit = inf if timeout is None else timeout
        self.is_background = background
        self._stop: _Stop | None = None
        self._gates_opened: dict[Gate, float] | None = None
        self.size = size
        self.buffer: deque[tuple[float, T]] = deque()
        self.produced = 0
        self.ending: Ending | None = None
        self.crowded = False
        self.reads: deque[float] = deque()
        self.standing_at: Gate | None = None
        self.arrivals = Notifier()
        self.wishes = Notifier()

    def now(self) -> float:
        """Return the seconds since the opening."""
        now, floor = self.clock() - self.origin, self.floor
        return now if now > floor else floor  # noqa: FURB136 - for each chunk; max() takes as long as the clock

    def waited_until(self, instant: float) -> None:
        """Note that a timer for ``instant`` has fired: timers may do so a rounding error early."""
        self.floor = max(self.floor, instant)

    def follow(self, clock: Callable[[], float]) -> None:
        """Go on by another clock; no time passes by that."""
        elapsed = self.now()
        self.clock = clock
        self.origin = clock() - elapsed

    @property
    def has_timeout(self) -> bool:
        """Whether the producer stops by itself."""
        return self._timeout < inf

    def present(self) -> float:
        """Return the present, or the limit once that has passed."""
        return min(self.now(), self.limit)

    def is_over(self) -> bool:
        """Whether the limit has passed."""
        limit = self.limit
        return limit < inf and self.now() >= limit

    def stop(self, ending: End) -> None:
        """End the producer now. From any thread, finaliser or signal handler; later stops change nothing."""
        if self._stop is None:
            # A reader may make room before a producer in the background gets to see that it was stopped.
            self.crowded = self.is_background and len(self.buffer) >= self.size
            self._stop = _Stop(self.now(), ending)
            self.limit = min(self._timeout, self._stop.instant)
        self.wishes.notify()
        self.arrivals.notify()

    def gate_opened(self, gate: Gate) -> None:
        """Be told by a gate of the schedule that it has just been opened."""
        self._gates_opened = {**(self._gates_opened or {}), gate: self.now()}
        self.wishes.notify()
        self.arrivals.notify()

    def opened_at(self, gate: Gate) -> float:
        """Return when a gate was opened; 0 if before the opening of the stream."""
        return (self._gates_opened or {}).get(gate, 0.0)

    def stand_at(self, gate: Gate | None) -> None:
        """Note where the producer is held; the reader, if it waits already, is the one to greet the gate."""
        self.standing_at = gate
        self.tell_reader()

    def tell_reader(self) -> None:
        """Wake the reader, unless the reader itself is driving the producer."""
        if self.is_background:
            self.arrivals.notify()

    def finish(self, ending: Ending) -> None:
        """Note how the producer ended."""
        self.ending = ending
        self.tell_reader()

    def finish_stopped(self) -> None:
        """Note that the producer was stopped or timed out."""
        self.crowded = self.crowded or len(self.buffer) >= self.size
        stop = self._stop
        self.finish(End.TIMED_OUT if stop is None or self._timeout < stop.instant else stop.ending)


def produce(line: Line[T], schedule: Iterator[Played[T]]) -> Producer:
    """Put a schedule on a line; yield the instant until which there is nothing to do, ``inf`` for no such instant."""
    due = reached = 0.0
    buffer = line.buffer
    for step in schedule:
        is_mark = type(step) in _MARKS
        if is_mark and (isinstance(step, Wait) or (isinstance(step, Stall) and step.seconds is not None)):
            due += step.seconds or 0.0
            continue
        while due > reached and due > (reached := line.present()):
            if line.is_over():
                return line.finish_stopped()
            yield min(due, line.limit)
        if not is_mark:
            while len(buffer) >= line.size:
                if line.is_over():
                    return line.finish_stopped()
                yield line.limit
            if line.produced >= line.size:
                due = max(due, line.reads.popleft())
            if due > line.limit:
                return line.finish_stopped()
            buffer.append((due, step))  # type: ignore[arg-type] # what is no mark is a unit
            line.produced += 1
            if line.is_background:
                line.arrivals.notify()
        elif isinstance(step, Gate):
            line.stand_at(step)
            while not step.is_open:
                if line.is_over():
                    return line.finish_stopped()
                yield line.limit
            line.stand_at(None)
            due = max(due, line.opened_at(step))
        elif isinstance(step, Stall):
            while not line.is_over():
                yield line.limit
            return line.finish_stopped()
        elif not isinstance(step, KeepAlive):
            return line.finish(step)  # type: ignore[arg-type] # what is left is a fault
    return line.finish(End.WHOLE)
