"""Places what happens by different clocks on the one time axis of a run.

Theory of operation: what happens comes in order. Real time is one clock; each loop with virtual time has one of its
own, which begins anywhere. As soon as anything went by a virtual clock, the axis shows virtual time: a loop that comes
after another one goes on where that was, and what has real time only stands where the virtual time was by then.
"""

from __future__ import annotations

from collections.abc import Callable

from pytest_mockstream._base.clock import monotonic

Clock = Callable[[], float]


def is_virtual(clock: Clock | None) -> bool:
    """Tell whether a clock shows anything but real time."""
    return clock is not None and clock is not monotonic


def rounded(instant: float) -> float:
    """Return an instant in microseconds precisely."""
    try:
        return round(instant * 1e6) / 1e6  # much faster than round(instant, 6), which goes by way of a text
    except (OverflowError, ValueError):  # it is infinite, or no number
        return instant


class Axis:
    """The time axis of a run; it is told instants in the order in which they happened.

    Args:
        virtual: whether anything went by virtual time.
        zero: what the real clock showed at the beginning.

    Attributes:
        now: the latest instant so far, in seconds from the beginning of the run.
    """

    def __init__(self, *, virtual: bool, zero: float) -> None:
        self.virtual = virtual
        self.now = 0.0
        self._zero = zero
        self._offsets: list[tuple[Clock, float]] = []

    def at(self, clock: Clock | None, instant: float) -> float:
        """Return where on the axis something stands that happened now, by a clock."""
        if not self.virtual:
            return self.reach(instant - self._zero)
        if clock is None or not is_virtual(clock):
            return self.now
        return self.reach(instant + self._offset(clock, instant))

    def reach(self, instant: float) -> float:
        """Note that the axis is at least so long, and return the instant, which is not before the beginning."""
        if instant > self.now:
            self.now = instant
        return max(0.0, instant)

    def _offset(self, clock: Clock, instant: float) -> float:
        for known, offset in self._offsets:
            if known == clock:
                return offset
        offset = self.now - instant
        self._offsets.append((clock, offset))
        return offset
