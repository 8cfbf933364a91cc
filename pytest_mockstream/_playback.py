"""Walks steps against a clock.

The wall: knows clocks and waiting; not what the units are (chunks or bytes), nor what their reader makes of an ending.

Theory of operation: ``_produce`` is the producer, written once as a generator. It puts units on a ``Line`` (a bounded
buffer with a clock) and yields whenever it has to wait: the instant until which, or ``inf`` for "until something
happens". Three drivers resume it. Inline, the reader itself lets it catch up with the present before each look into
the buffer: nothing runs between two reads, so nothing can leak. In the background, a thread or an asyncio task runs it.
Instants are worked out, not measured: unit i arrives at ``max(a[i-1] + d[i], r[i-B])``, where d are the waits of the
schedule, r the instants of the reads and B the size of the buffer. So all drivers give the same units at the same
instants.

``Line.stop`` is one write of one attribute, and the producer still delivers what was due at that instant. Finalisers
and signal handlers may thus call it at any point of any thread. The buffer needs no lock, having one producer and one
reader; the turn lock keeps a thread that only looks at the stream from driving an inline producer that its reader
drives at that moment.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Generic, TypeAlias, TypeVar

from ._bell import Bell
from ._exceptions import ScriptError
from ._gate import Gate
from ._steps import FAULTS, Fault, KeepAlive, Played, Stall, Wait

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")

_monotonic = time.monotonic  # bound at import: tests patch it


class End(Enum):
    """How a playback ended, where no fault of its script ended it."""

    WHOLE = "whole"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"
    LEFT = "left"


Ending: TypeAlias = End | Fault
_MARKS = frozenset((Wait, Gate, KeepAlive, *FAULTS))
_Producer: TypeAlias = "Generator[float, None, None]"


@dataclass(frozen=True, slots=True)
class _Stop:
    instant: float
    ending: End


class Line(Generic[T]):
    """What a producer and its reader share; the reader's side is ``Playback``.

    Attributes:
        buffer: what has arrived and was not read yet.
        size: how many units the producer may be ahead.
        produced: how many units have arrived in all.
        is_background: whether somebody other than the reader drives the producer.
        ending: how the producer ended; None while it has not. Read it before the buffer: what arrived came first.
        crowded: whether the buffer was full when the producer was stopped.
        standing_at: the closed gate that the producer waits at.
        arrivals: rings when the reader has something to look at.
        wishes: rings when the producer has.
    """

    __slots__ = (
        "__weakref__",
        "_clock",
        "_floor",
        "_gates_opened",
        "_origin",
        "_stop",
        "_timeout",
        "arrivals",
        "buffer",
        "crowded",
        "ending",
        "is_background",
        "produced",
        "room_at",
        "size",
        "standing_at",
        "wishes",
    )

    def __init__(self, clock: Callable[[], float], *, size: int, timeout: float | None, background: bool) -> None:
        self._clock = clock
        self._origin = clock()
        self._floor = 0.0
        self._timeout = inf if timeout is None else timeout
        self.is_background = background
        self._stop: _Stop | None = None
        self._gates_opened: dict[Gate, float] | None = None
        self.size = size
        self.buffer: deque[tuple[float, T]] = deque()
        self.produced = 0
        self.ending: Ending | None = None
        self.crowded = False
        self.room_at = 0.0
        self.standing_at: Gate | None = None
        self.arrivals = Bell()
        self.wishes = Bell()

    def now(self) -> float:
        """Return the seconds since the opening."""
        now = self._clock() - self._origin
        return max(self._floor, now)

    def waited_until(self, instant: float) -> None:
        """Note that a timer for ``instant`` has fired: timers may do so a rounding error early."""
        self._floor = max(self._floor, instant)

    def follow(self, clock: Callable[[], float]) -> None:
        """Go on by another clock; no time passes by that."""
        elapsed = self.now()
        self._clock = clock
        self._origin = clock() - elapsed

    def limit(self) -> float:
        """Return the instant after which nothing arrives any more."""
        stop = self._stop
        return self._timeout if stop is None else min(self._timeout, stop.instant)

    @property
    def has_timeout(self) -> bool:
        """Whether the producer stops by itself."""
        return self._timeout < inf

    def present(self) -> float:
        """Return the present, or the limit once that has passed."""
        return min(self.now(), self.limit())

    def is_over(self) -> bool:
        """Whether the limit has passed."""
        return self.now() >= self.limit()

    def stop(self, ending: End) -> None:
        """End the producer now. From any thread, finaliser or signal handler; later stops change nothing."""
        if self._stop is None:
            # A reader may make room before a producer in the background gets to see that it was stopped.
            self.crowded = self.is_background and len(self.buffer) >= self.size
            self._stop = _Stop(self.now(), ending)
        self.wishes.ring()
        self.arrivals.ring()

    def gate_opened(self, gate: Gate) -> None:
        """Be told by a gate of the schedule that it has just been opened."""
        self._gates_opened = {**(self._gates_opened or {}), gate: self.now()}
        self.wishes.ring()
        self.arrivals.ring()

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
            self.arrivals.ring()

    def finish(self, ending: Ending) -> None:
        """Note how the producer ended."""
        self.ending = ending
        self.tell_reader()

    def finish_stopped(self) -> None:
        """Note that the producer was stopped or timed out."""
        self.crowded = self.crowded or len(self.buffer) >= self.size
        stop = self._stop
        self.finish(End.TIMED_OUT if stop is None or self._timeout < stop.instant else stop.ending)


def _produce(line: Line[T], schedule: Iterator[Played[T]]) -> _Producer:
    due = reached = 0.0
    buffer = line.buffer
    for step in schedule:
        kind = type(step)
        if isinstance(step, Wait) or (isinstance(step, Stall) and step.seconds is not None):
            due += step.seconds or 0.0
            continue
        while due > reached and due > (reached := line.present()):
            if line.is_over():
                return line.finish_stopped()
            yield min(due, line.limit())
        if kind not in _MARKS:
            while len(buffer) >= line.size:
                if line.is_over():
                    return line.finish_stopped()
                yield line.limit()
                due = max(due, line.room_at)
            if due > line.limit():
                return line.finish_stopped()
            buffer.append((due, step))  # type: ignore[arg-type] # what is no mark is a unit
            line.produced += 1
            if line.is_background:
                line.arrivals.ring()
        elif isinstance(step, Gate):
            line.stand_at(step)
            while not step.is_open:
                if line.is_over():
                    return line.finish_stopped()
                yield line.limit()
            line.stand_at(None)
            due = max(due, line.opened_at(step))
        elif isinstance(step, Stall):
            while not line.is_over():
                yield line.limit()
            return line.finish_stopped()
        elif not isinstance(step, KeepAlive):
            return line.finish(step)  # type: ignore[arg-type] # what is left is a fault
    return line.finish(End.WHOLE)


def _run_in_thread(line: Line[T], producer: _Producer) -> None:
    seen = line.wishes.count
    for until in producer:
        if not line.wishes.wait(seen, _span(line, until)):
            line.waited_until(until)
        seen = line.wishes.count


async def _run_in_task(line: Line[T], producer: _Producer) -> None:
    seen = line.wishes.count
    for until in producer:
        if not await line.wishes.await_ring(seen, _span(line, until)):
            line.waited_until(until)
        seen = line.wishes.count


def _span(line: Line[T], until: float) -> float | None:
    return None if until == inf else until - line.now()


class Playback(Generic[T]):
    """One playing of a schedule, as its reader sees it.

    Args:
        schedule: units of output, and the steps that are not output.
        buffer_size: how many units the producer may be ahead of the reader.
        timeout: seconds after which the producer stops by itself, or None.
        gates: the gates in the schedule.
        background: run the producer as a task of the running loop, or as a thread where no loop runs.
    """

    __slots__ = ("__weakref__", "_inline", "_line", "_loop", "_producer", "_turn", "_until")

    def __init__(
        self,
        schedule: Iterator[Played[T]],
        *,
        buffer_size: int,
        timeout: float | None = None,
        gates: tuple[Gate, ...] = (),
        background: bool = False,
    ) -> None:
        self._loop = asyncio._get_running_loop()
        clock = _monotonic if self._loop is None else self._loop.time
        self._line: Line[T] = Line(clock, size=buffer_size, timeout=timeout, background=background)
        for gate in gates:
            gate.hold(self._line)
        self._until = inf
        self._turn = threading.Lock()
        producer = _produce(self._line, schedule)
        self._inline = None if background else producer
        self._producer: threading.Thread | asyncio.Task[None] | None = None
        if background:
            self._start(producer)

    def _start(self, producer: _Producer) -> None:
        line = self._line
        if self._loop is None:
            # A daemon: one that nobody stopped must not keep the interpreter from exiting.
            thread = threading.Thread(
                target=_run_in_thread, args=(line, producer), name="mockstream producer", daemon=True
            )
            thread.start()
            self._producer = thread
            return

        def gone(_task: asyncio.Task[None]) -> None:
            # A task that is cancelled from outside, even before its first step, leaves a reader behind.
            if line.ending is None:
                line.stop(End.CANCELLED)
                line.finish_stopped()

        task = self._loop.create_task(_run_in_task(line, producer), name="mockstream producer")
        task.add_done_callback(gone)
        self._producer = task

    # Reading.

    def receive(self, within: float | None = None) -> tuple[float, T] | Ending | None:
        """Wait for the next unit or the end.

        Args:
            within: the longest to wait, in seconds; None waits for ever.

        Raises:
            ScriptError: the producer is a task of the loop that runs in this very thread.

        Returns:
            The instant of arrival and the unit, or how the playback ended, or None if neither came in time; then
            nothing is lost, and the next call goes on waiting for the same unit.
        """
        if self._inline is None:
            self._refuse_to_block()
        elif self._loop is not None:
            self._follow(None)
        if (got := self.take()) is not None:
            return got
        line = self._line
        deadline = inf if within is None else line.now() + within
        while True:
            seen = line.arrivals.count
            got = self.take()
            if got is not None or line.now() >= deadline:
                return got
            until = min(self._until, deadline)
            self._greet_gate()
            if not line.arrivals.wait(seen, _span(line, until)):
                line.waited_until(until)

    async def areceive(self, within: float | None = None) -> tuple[float, T] | Ending | None:
        """Do as ``receive``, in the running loop. Cancelled at any point, it loses nothing.

        At least one other turn of the loop passes, or timeouts and cancellations could never land.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._follow(loop)
        await asyncio.sleep(0)
        if (got := self.take()) is not None:
            return got
        line = self._line
        deadline = inf if within is None else line.now() + within
        while True:
            seen = line.arrivals.count
            got = self.take()
            if got is not None or line.now() >= deadline:
                return got
            until = min(self._until, deadline)
            self._greet_gate()
            if not await line.arrivals.await_ring(seen, _span(line, until)):
                line.waited_until(until)

    def take(self) -> tuple[float, T] | Ending | None:
        """Return the next unit if it has arrived, else how the playback ended, else None."""
        self._catch_up()
        line = self._line
        ending = line.ending
        if not line.buffer:
            return ending
        if len(line.buffer) >= line.size:
            line.room_at = line.now()
        arrived = line.buffer.popleft()
        if self._inline is None:
            line.wishes.ring()
        return arrived

    def _catch_up(self) -> None:
        if self._inline is not None and self._line.ending is None:
            with self._turn:
                self._until = next(self._inline, inf)

    def _look(self) -> Line[T]:
        """Return the line as it is by now, for somebody who is not the reader and must not wait for it."""
        if self._inline is not None and self._line.ending is None and self._turn.acquire(blocking=False):
            try:
                self._until = next(self._inline, inf)
            finally:
                self._turn.release()
        return self._line

    def _follow(self, loop: asyncio.AbstractEventLoop | None) -> None:
        if self._inline is not None:
            self._loop = loop
            self._line.follow(_monotonic if loop is None else loop.time)

    def _refuse_to_block(self) -> None:
        task = self._producer
        if isinstance(task, asyncio.Task) and task.get_loop() is asyncio._get_running_loop():
            msg = "this stream is fed by a task of the running loop, which `for` would block: use `async for`"
            raise ScriptError(msg)

    def _greet_gate(self) -> None:
        gate = self._line.standing_at
        if gate is not None:
            gate.mark_reached()

    # Ending.

    def stop(self, ending: End) -> None:
        """End the producer now; what had arrived can still be read. From anywhere, any number of times."""
        self._line.stop(ending)

    def join(self) -> None:
        """Block until a stopped background producer is gone, where that is possible without blocking its loop."""
        if isinstance(self._producer, threading.Thread) and self._producer is not threading.current_thread():
            self._producer.join()

    async def ajoin(self) -> None:
        """Wait until a stopped background producer is gone."""
        if isinstance(self._producer, asyncio.Task) and self._producer.get_loop() is asyncio.get_running_loop():
            await asyncio.wait((self._producer,))
        else:
            self.join()

    def now(self) -> float:
        """Return the seconds since the opening, on the playback's clock."""
        return self._line.now()

    @property
    def ending(self) -> Ending | None:
        """How the producer ended, by now; None while it has not."""
        return self._look().ending

    @property
    def produced(self) -> int:
        """How many units have arrived by now, read or not."""
        return self._look().produced

    @property
    def timed_out(self) -> bool:
        """Whether ``timeout`` has run out before the producer's end."""
        return self._line.has_timeout and self.ending is End.TIMED_OUT

    @property
    def crowded(self) -> bool:
        """Whether the buffer was full when the producer was stopped."""
        return self._line.crowded
