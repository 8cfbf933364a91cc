"""Finds what may still come of what has ended: each of a chain may start the next, now or by a call of a loop later.

Theory of operation: a callback that creates the next task, or starts the next thread, runs in a context that was copied
from its chain's, and that tells its owner. While such a call is due, something of the owner goes on, though there is
nothing to be seen of it. It is waited for one more grace period at most: what comes after the first was not over by
then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sized

from .internals import calls_to_come
from .interpreter import can_pump, running_loop
from .owner import OWNER, Owner
from .settle import Deadline

_MOST_OVERDUE = 20  # calls that a busy machine had no time for, and that are made though the time is up


def waits_for_calls(
    loops: Iterable[asyncio.AbstractEventLoop],
    blame: Callable[[Owner | None, int], str | None],
    look: Callable[[], Sized],
    deadline: Deadline,
) -> Iterator[tuple[asyncio.AbstractEventLoop, float]]:
    """Yield loops, each with the seconds until it makes its next call for somebody, until something comes of one.

    Args:
        loops: where calls may be due; whoever is given one lets it go on.
        blame: returns who is blamed for what an owner starts.
        look: returns what has come.
        deadline: of the judgement.
    """
    patience = Deadline(deadline.left + deadline.grace)
    going_on = [loop for loop in loops if _goes_on(loop)]
    overdue = _MOST_OVERDUE
    while overdue and not look():
        left = patience.left
        calls = [(_next_call(loop, blame), loop) for loop in going_on]
        due = [(seconds, loop) for seconds, loop in calls if seconds < left or not seconds]
        if not due:
            return
        overdue -= not left
        seconds, loop = min(due, key=lambda call: call[0])
        yield loop, seconds


def _goes_on(loop: asyncio.AbstractEventLoop) -> bool:
    return can_pump(loop) or loop is running_loop() or (loop.is_running() and not loop.is_closed())


def _next_call(loop: asyncio.AbstractEventLoop, blame: Callable[[Owner | None, int], str | None]) -> float:
    """Return in how many seconds a loop makes its next call for somebody; never is infinite.

    What a thread has asked for tells no owner; it is made at once, so it is waited for. A timer may be anybody's.
    """
    calls = ((context.get(OWNER), seconds) for context, seconds in calls_to_come(loop))
    mine = (seconds for owner, seconds in calls if not (owner is None and seconds) and blame(owner, 0) is not None)
    return min(mine, default=float("inf"))
