"""Which points a sweep visits, and how far it has come.

The wall: numbers only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TypeAlias

from pytest_mockstream._exceptions import ScriptError

Progress: TypeAlias = Callable[[int, int], None]

_LOG = logging.getLogger("pytest_mockstream.sweep")
_EVERY = 2.0


def chosen(count: int, *, point: int | None, max_points: int | None) -> Sequence[int]:
    """Return the numbers of the points to visit, from 1.

    Args:
        count: how many there are.
        point: only this one.
        max_points: at most so many, evenly spread from the first to the last.

    Raises:
        ScriptError: there is no such point.
    """
    if point is not None:
        if not 1 <= point <= count:
            legal = f"give 1 to {count}" if count else "there is none"
            msg = f"point={point!r}: the code under test has {count} points; {legal}"
            raise ScriptError(msg)
        return (point,)
    if max_points is None or count <= max_points:
        return range(1, count + 1)
    if max_points == 1:
        return (1,)
    return [1 + round(i * (count - 1) / (max_points - 1)) for i in range(max_points)]


def told(points: Sequence[int], title: str, progress: Progress | None) -> Iterator[int]:
    """Yield points, and tell how many are done: after each one, or in the log every other second.

    Args:
        points: to go through.
        title: for the log.
        progress: is called with how many are done and how many there are.
    """
    next_time = monotonic() + _EVERY
    for done, number in enumerate(points, 1):
        yield number
        if progress is not None:
            progress(done, len(points))
        elif monotonic() >= next_time:
            next_time = monotonic() + _EVERY
            _LOG.info("%s: %d of %d points visited", title, done, len(points))
