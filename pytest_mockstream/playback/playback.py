"""Plays a schedule: drives its producer, inline or in the background, and gives its reader what arrives, in time.

It does not know what the units are (chunks or frames of bytes), nor what their reader makes of an ending.

Theory of operation: there is one producer, in ``producer``, and three ways to drive it. Inline, the reader itself lets
it catch up with the present before each look into the buffer: nothing runs between two reads, so nothing can leak. In
the background, a thread or a task of the loop runs it. All three give the same units at the same instants. The turn
lock keeps a thread that only looks at the stream from driving an inline producer that its reader drives at that moment.
"""

from __future__ import annotations

import threading
from collections.abc import Coroutine, Generator, Iterator
from math import inf
from typing import Any, Generic, TypeAlias, TypeVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.loops import BackgroundTask, Loop, checkpoint_of, clock_of, running_loop, start_task
from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream._base.watching import Note
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import Played

from .channel import Channel, End, Ending
from .producer import Producer, produce

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")
R = TypeVar("R")
#: A procedure that waits, written once for threads and tasks: it yields the count of notifications that it has seen and
#: the longest to wait, in seconds (None: for ever), and is sent whether there was a notification.
Waits: TypeAlias = Generator[tuple[int, float | None], bool, R]


def _running(channel: Channel[T], producer: Producer) -> Waits[None]:
    """Run a producer; yield the waits that it needs."""
    seen = channel.producer_wakeup.count
    for until in producer:
        if not (yield seen, _span(channel, until)):
            channel.waited_until(until)
        seen = channel.producer_wakeup.count


def _span(channel: Channel[T], until: float) -> float | None:
    return None if until == inf else until - channel.now()


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
    """A schedule that is being played, as its reader sees it.

    Args:
        schedule: units of output, and the steps that are not output.
        buffer_size: how many units the producer may be ahead of the reader.
        timeout: after how many seconds the producer stops by itself; None for never.
        gates: the gates in the schedule.
        background: whether the producer runs by itself: as a task of the running loop, or as a thread where none runs.

    Attributes:
        read_at: when the last unit was taken, in seconds since the opening.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_checkpoint",
        "_inline",
        "_loop",
        "_producer",
        "_turn",
        "_until",
        "read_at",
    )

    def __init__(
        self,
        schedule: Iterator[Played[T]],
        *,
        buffer_size: int,
        timeout: float | None = None,
        gates: tuple[Gate, ...] = (),
        background: bool = False,
    ) -> None:
        self._loop = running_loop()
        self._checkpoint = checkpoint_of(self._loop)
        self._channel: Channel[T] = Channel(
            clock_of(self._loop), size=buffer_size, timeout=timeout, background=background
        )
        for gate in gates:
            gate.hold(self._channel)
        self._until = inf
        self.read_at = 0.0
        self._turn = threading.Lock()
        producer = produce(self._channel, schedule)
        self._inline = None if background else producer
        self._producer: threading.Thread | BackgroundTask | None = None
        if background:
            self._start(producer)

    def _start(self, producer: Producer) -> None:
        channel = self._channel
        if self._loop is None:
            # A daemon: one that nobody stopped must not keep the interpreter from exiting.
            thread = threading.Thread(
                target=_drive,
                args=(_running(channel, producer), channel.producer_wakeup),
                name="mockstream producer",
                daemon=True,
            )
            thread.start()
            self._producer = thread
            return

        def gone() -> None:
            # A task that is cancelled from outside, even before its first step, leaves a reader behind.
            if channel.ending is None:
                channel.stop(End.CANCELLED)
                channel.finish(channel.ending_when_stopped())

        def drive() -> Coroutine[Any, Any, None]:
            return _drive_async(_running(channel, producer), channel.producer_wakeup)

        self._producer = start_task(self._loop, drive, gone, "mockstream producer")

    def receive(self, within: float | None = None) -> tuple[float, T] | Ending | None:
        """Block this thread until the next unit or the end.

        Args:
            within: the longest to wait, in seconds; None waits for ever.

        Returns:
            The instant of arrival (seconds since the opening) and the unit, or how the playback ended, or None if
            neither came in time; then nothing is lost, and the next call waits for the same unit.

        Raises:
            ScriptError: the producer is a task of the loop that runs in this thread, which would block for ever.
        """
        if self._inline is None:
            self._refuse_to_block()
        elif self._loop is not None:
            self._follow(None)
        if (got := self.take()) is not None:
            return got
        return _drive(self._receiving(within), self._channel.reader_wakeup)

    async def areceive(self, within: float | None = None) -> tuple[float, T] | Ending | None:
        """Do as ``receive``, in the running loop; cancelling it at any point loses nothing.

        It yields to the loop at least once, or timeouts and cancellations could never take effect.

        Raises:
            ScriptError: no event loop runs here.
        """
        loop = running_loop()
        if loop is not self._loop or loop is None:
            self._follow_here(loop)
        try:
            await self._checkpoint()
            if (got := self.take()) is not None:
                return got
            return await _drive_async(self._receiving(within), self._channel.reader_wakeup)
        except BaseException as error:
            self._channel.tell("interrupted", type(error).__name__)
            raise

    def _receiving(self, within: float | None) -> Waits[tuple[float, T] | Ending | None]:
        """Receive the next unit or the end; yield the waits that it needs."""
        channel = self._channel
        deadline = inf if within is None else channel.now() + within
        while True:
            seen = channel.reader_wakeup.count
            got = self.take()
            if got is not None or channel.now() >= deadline:
                return got
            until = min(self._until, deadline)
            self._mark_gate_reached()
            if not (yield seen, _span(channel, until)):
                channel.waited_until(until)

    def take(self) -> tuple[float, T] | Ending | None:
        """Return the next unit if it has arrived; otherwise how the playback ended, if it has; otherwise None."""
        channel = self._channel
        buffer, now, floor = channel.buffer, channel.clock() - channel.origin, channel.floor
        if now < floor:  # `channel.now`, for each chunk
            now = floor
        # Whatever had arrived before is in the buffer, at its own instant: nobody sees that the producer comes later.
        if self._inline is not None and channel.ending is None and (not buffer or now >= channel.limit):
            with self._turn:
                self._until = next(self._inline, inf)
        ending = channel.ending
        if not buffer:
            return ending
        channel.reads.append(now)
        self.read_at = now
        arrived = buffer.popleft()
        if self._inline is None:
            channel.producer_wakeup.notify()
        return arrived

    def _look(self) -> Channel[T]:
        """Return the channel as it is now, for a caller who is not the reader and must not wait for the reader."""
        if self._inline is not None and self._channel.ending is None and self._turn.acquire(blocking=False):
            try:
                self._until = next(self._inline, inf)
            finally:
                self._turn.release()
        return self._channel

    def _follow(self, loop: Loop | None) -> None:
        if self._inline is not None:
            self._loop = loop
            self._channel.follow(clock_of(loop))

    def _follow_here(self, loop: Loop | None) -> None:
        if loop is None:
            raise ScriptError(
                "`async for` and the a... methods need a running event loop, of asyncio or trio, and there is none"
                " here: read with `for`, or run the coroutine with asyncio.run(...) or trio.run(...)"
            )
        self._checkpoint = checkpoint_of(loop)
        self._follow(loop)

    def _refuse_to_block(self) -> None:
        if self._task_here() is not None:
            msg = "this stream is fed by a task of the running loop, which `for` would block: use `async for`"
            raise ScriptError(msg)

    def _task_here(self) -> BackgroundTask | None:
        """Return the producer if it is a task of the running loop."""
        producer = self._producer
        if producer is None or isinstance(producer, threading.Thread) or producer.loop is not running_loop():
            return None
        return producer

    def _mark_gate_reached(self) -> None:
        gate = self._channel.held_at
        if gate is not None:
            gate.mark_reached()

    def stop(self, ending: End) -> None:
        """End the producer now; what has arrived can still be read. Callable from anywhere, any number of times."""
        self._channel.stop(ending)

    def join(self) -> None:
        """Block until a stopped background producer is gone, unless that would block its loop."""
        if isinstance(self._producer, threading.Thread) and self._producer is not threading.current_thread():
            self._producer.join()

    async def ajoin(self) -> None:
        """Wait until a stopped background producer is gone."""
        if (task := self._task_here()) is not None:
            await task.wait()
        else:
            self.join()

    def watch(self, note: Note, number: int) -> None:
        """Tell of what happens from now on, under a number: of gates, and of reads that are interrupted."""
        self._channel.note = note, number

    def now(self) -> float:
        """Return the seconds since the opening, on the playback's clock."""
        return self._channel.now()

    @property
    def loop(self) -> Loop | None:
        """The loop that it was last read in, or opened in before it was read; None outside of a loop."""
        return self._loop

    @property
    def ending(self) -> Ending | None:
        """How the producer ended; None as long as it has not."""
        return self._look().ending

    @property
    def produced(self) -> int:
        """How many units have arrived so far, read or not."""
        return self._look().produced

    @property
    def held_at(self) -> Gate | None:
        """The closed gate that the producer stands at, if it stands at one."""
        gate = self._channel.held_at
        return None if gate is None or gate.is_open else gate

    @property
    def timed_out(self) -> bool:
        """Whether ``timeout`` ran out before the producer ended."""
        return self._channel.has_timeout and self.ending is End.TIMED_OUT

    @property
    def was_full(self) -> bool:
        """Whether the buffer was full when the producer was stopped."""
        return self._channel.was_full
