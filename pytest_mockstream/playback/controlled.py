"""A playback that is held, stepped, let go and ended by hand, while somebody reads it.

Theory of operation: what is held is the reader, so that it does not matter how far the producer is ahead. Meanwhile the
clock of the stream stands still, so that the rest comes at its own pace afterwards. A step sets that clock forward to
the instant at which the next unit arrives. All of it is called in the loop of the reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from math import inf
from typing import Generic, TypeVar

from pytest_mockstream._base.loops import clock_of
from pytest_mockstream.script.gate import Gate
from pytest_mockstream.script.steps import Played

from .channel import End, Ending
from .playback import Playback

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")


class ControlledPlayback(Playback[T], Generic[T]):
    """A schedule that is being played, and that somebody besides its reader decides about.

    Args:
        schedule: units of output, and the steps that are not output.
        buffer_size: how many units the producer may be ahead of the reader.
        gates: the gates in the schedule.
        counts: tells of which units one is a step; those that come before it pass with it.

    Attributes:
        is_held: whether nothing passes.
        is_ended: whether it was ended by hand.
    """

    __slots__ = ("_counts", "_instead", "_steps", "is_ended", "is_held")

    def __init__(
        self,
        schedule: Iterator[Played[T]],
        *,
        buffer_size: int,
        gates: tuple[Gate, ...] = (),
        counts: Callable[[T], bool],
    ) -> None:
        super().__init__(schedule, buffer_size=buffer_size, gates=gates)
        self._counts = counts
        self.is_held = False
        self._steps = 0
        self._instead: deque[tuple[float, T] | Ending] = deque()
        self.is_ended = False

    @property
    def taken(self) -> int:
        """How many units of the schedule the reader has taken."""
        return self._channel.produced - len(self._channel.buffer)

    def hold(self) -> None:
        """Let nothing pass from now on, and no time."""
        if not self.is_held:
            self.is_held, now = True, self.now()
            self._channel.follow(lambda: now)
            self._until = inf
            self._channel.reader_wakeup.notify()

    def let_go(self) -> None:
        """Go on from where it is held."""
        if self.is_held:
            self.is_held, self._steps = False, 0
            self._channel.follow(clock_of(self._loop))
            self._channel.reader_wakeup.notify()

    def step(self) -> bool:
        """Let one unit pass that counts, at once, whatever time the schedule gives it; then hold again.

        Returns:
            Whether there is one to come, or an end; False where the schedule stands still for ever.
        """
        self.hold()
        channel = self._look()
        comes = bool(channel.buffer) or channel.ending is not None or self._until < inf
        self._until = inf
        if comes:
            self._steps += 1
            channel.reader_wakeup.notify()
        return comes

    def end(self, ending: Ending, *units: T) -> None:
        """End it now: after what the reader has taken come these units, and this ending."""
        if not self.is_ended:
            self.is_ended = True
            now = self.now()
            self._instead.extend([*((now, unit) for unit in units), ending])
            super().stop(End.LEFT)

    def stop(self, ending: End) -> None:
        """End the producer now; what has arrived can still be read, even if it is held."""
        self.let_go()
        super().stop(ending)

    def take(self) -> tuple[float, T] | Ending | None:
        """Do as ``Playback.take``; of what is held, nothing is there."""
        if self.is_ended:
            return self._instead.popleft() if isinstance(self._instead[0], tuple) else self._instead[0]
        if not self.is_held:
            return super().take()
        return self._stepped() if self._steps else None

    def _stepped(self) -> tuple[float, T] | Ending | None:
        while (got := super().take()) is None and self._until < inf:
            self._channel.waited_until(self._until)
        self._until = inf
        if got is None:  # the schedule stands still for ever
            self._steps = 0
        elif not isinstance(got, tuple) or self._counts(got[1]):
            self._steps -= 1
        return got
