"""Walks steps against a clock: who drives the producer, and what the reader sees.

The wall: knows clocks and waiting; not what the units are (chunks or bytes), nor what their reader makes of an ending.

Theory of operation: three drivers resume the one producer of ``_line``. Inline, the reader itself lets it catch up with
the present before each look into the buffer: nothing runs between two reads, so nothing can leak. In the background, a
thread or an asyncio task runs it. All of them give the same units at the same instants. The turn lock keeps a thread
that only looks at the stream from driving an inline producer that its reader drives at that moment.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from math import inf
from typing import Generic, TypeAlias, TypeVar

from pytest_mockstream._base.clock import clock_of, turn
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import Played

from .line import End, Ending, Line, Producer, produce

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")
R = TypeVar("R")
#: A procedure that waits, written once for threads and tasks: it yields the count of notifications that it has seen and
#: the longest to wait, in seconds (None: for ever), and is sent whether there was a notification.
Waits: TypeAlias = Generator[tuple[int, float | None], bool, R]


def _running(line: Line[T], producer: Producer) -> Waits[None]:
    """Run a producer; yield the waits that it needs."""
    seen = line.wishes.count
    for until in producer:
        if not (yield seen, _span(line, until)):
            line.waited_until(until)
        seen = line.wishes.count


def _span(line: Line[T], until: float) -> float | None:
    return None if until == inf else until - line.now()


def _drive(waits: Waits[R], notifier: Notifier) -> R:
    """Do the waits of a generator in this thread; return what it returns."""
    try:
        wait = next(waits)
        while True:
            wait = waits.send(notifier.wait(*wait))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # what the generator returns


async def _drive_async(waits: Waits[R], notifier: Notifier) -> R:
    """Do as ``_drive``, in the running loop."""
    try:
        wait = next(waits)
        while True:
            wait = waits.send(await notifier.wait_async(*wait))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return] # what the generator returns


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
        self._line: Line[T] = Line(clock_of(self._loop), size=buffer_size, timeout=timeout, background=background)
        for gate in gates:
            gate.hold(self._line)
        self._until = inf
        self._turn = threading.Lock()
        producer = produce(self._line, schedule)
        self._inline = None if background else producer
        self._producer: threading.Thread | asyncio.Task[None] | None = None
        if background:
            self._start(producer)

    def _start(self, producer: Producer) -> None:
        line = self._line
        if self._loop is None:
            # A daemon: one that nobody stopped must not keep the interpreter from exiting.
            thread = threading.Thread(
                target=_drive, args=(_running(line, producer), line.wishes), name="mockstream producer", daemon=True
            )
            thread.start()
            self._producer = thread
            return

        def gone(_task: asyncio.Task[None]) -> None:
            # A task that is cancelled from outside, even before its first step, leaves a reader behind.
            if line.ending is None:
                line.stop(End.CANCELLED)
                line.finish_stopped()

        task = self._loop.create_task(_drive_async(_running(line, producer), line.wishes), name="mockstream producer")
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
        return _drive(self._receiving(within), self._line.arrivals)

    async def areceive(self, within: float | None = None) -> tuple[float, T] | Ending | None:
        """Do as ``receive``, in the running loop. Cancelled at any point, it loses nothing.

        At least one other turn of the loop passes, or timeouts and cancellations could never land.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._follow(loop)
        await turn()
        if (got := self.take()) is not None:
            return got
        return await _drive_async(self._receiving(within), self._line.arrivals)

    def _receiving(self, within: float | None) -> Waits[tuple[float, T] | Ending | None]:
        """Receive; yield the waits that it takes."""
        line = self._line
        deadline = inf if within is None else line.now() + within
        while True:
            seen = line.arrivals.count
            got = self.take()
            if got is not None or line.now() >= deadline:
                return got
            until = min(self._until, deadline)
            self._greet_gate()
            if not (yield seen, _span(line, until)):
                line.waited_until(until)

    def take(self) -> tuple[float, T] | Ending | None:
        """Return the next unit if it has arrived, else how the playback ended, else None."""
        line = self._line
        buffer, now, floor = line.buffer, line.clock() - line.origin, line.floor
        if now < floor:  # `line.now`, for each chunk
            now = floor
        # Whatever had arrived before is in the buffer, at its own instant: nobody sees that the producer comes later.
        if self._inline is not None and line.ending is None and (not buffer or now >= line.limit):
            with self._turn:
                self._until = next(self._inline, inf)
        ending = line.ending
        if not buffer:
            return ending
        line.reads.append(now)
        arrived = buffer.popleft()
        if self._inline is None:
            line.wishes.notify()
        return arrived

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
            self._line.follow(clock_of(loop))

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
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that it was last read in, or was opened in; None outside of loops."""
        return self._loop

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
