"""Waits for what is still running, until a deadline that all suspects share. It judges nothing.

Theory of operation: an idle event loop is run for a while, by its own clock, so that a task that is about to end can do
so. A loop that runs in another thread, or further up this thread's stack, is only watched. A loop whose clock was
virtual as long as its test ran, and is real again now, goes on by the virtual one: what waits on it was set by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any

from pytest_mockstream._base.clock import going_on, monotonic, sleep
from pytest_mockstream._base.clock import turn as next_turn

from .interpreter import can_pump, running_loop, wait
from .owner import CHECK, OWNER

Task = asyncio.Task[Any]

_TURNS = 20
_LONGEST_CIRCLE = 20  # tasks
_PAUSES = (0.0005, 0.001, 0.002, 0.005)
_APART = 1.0  # seconds: a clock that is no further from the real one than this shows real time
#: What virtual clocks showed when their test had run.
_VIRTUAL: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, float] = weakref.WeakKeyDictionary()


class Deadline:
    """The grace period; it begins with the first wait."""

    def __init__(self, grace: float) -> None:
        self.grace = grace
        self._end: float | None = None

    @property
    def left(self) -> float:
        """The seconds that are left, from the moment this was first asked."""
        if self._end is None:
            self._end = monotonic() + self.grace
        return max(0.0, self._end - monotonic())


def by_loop(tasks: Iterable[Task]) -> dict[asyncio.AbstractEventLoop, list[Task]]:
    """Return tasks by the loop they run on."""
    loops: dict[asyncio.AbstractEventLoop, list[Task]] = {}
    for task in tasks:
        loops.setdefault(task.get_loop(), []).append(task)
    return loops


def pump(loop: asyncio.AbstractEventLoop, tasks: Iterable[asyncio.Future[Any]], timeout: float) -> None:
    """Run an idle loop until tasks are done, for at most so many of its own seconds."""
    waiting = [task for task in tasks if not task.done()]
    if not waiting:
        return
    _run(loop, wait(waiting, timeout=timeout))


def let_pass(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    """Run an idle loop for so many of its own seconds, and for one turn at least; watch one that runs elsewhere.

    It stops in the very turn in which the time is up: after a pause of the process, one more would end what has come.
    """
    if not can_pump(loop):
        sleep(max(seconds, _PAUSES[0]))
        return
    with _as_check(), _by_clock_of_test(loop):
        timer = loop.call_later(seconds, loop.stop) if seconds > 0 else loop.call_soon(loop.stop)
        try:
            loop.run_forever()
        finally:
            timer.cancel()


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """Run an idle loop for a moment: a socket that its user has closed is closed one turn later."""
    _run(loop, _one_turn())


def take_turns(loop: asyncio.AbstractEventLoop, done: Callable[[], bool]) -> None:
    """Run an idle loop a few moments, until something is done that needs no more than that."""
    for _ in range(_TURNS):
        if done() or not can_pump(loop):
            return
        turn(loop)


async def _one_turn() -> None:
    await next_turn()


def _run(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, object]) -> None:
    # A RuntimeError says that somebody stopped the loop; then the suspects are judged as they stand.
    with _as_check(), contextlib.suppress(RuntimeError), _by_clock_of_test(loop):
        loop.run_until_complete(coroutine)


@contextlib.contextmanager
def _as_check() -> Iterator[None]:
    """Credit what is started for the length of a block to the check."""
    token = OWNER.set(CHECK)
    try:
        yield
    finally:
        OWNER.reset(token)


def note_clocks(loops: Iterable[asyncio.AbstractEventLoop]) -> None:
    """Note what virtual clocks show when a test has run, and forget those of the test before."""
    _VIRTUAL.clear()
    for loop in loops:
        if not _shows_real_time(loop):
            _VIRTUAL[loop] = loop.time()


def _shows_real_time(loop: asyncio.AbstractEventLoop) -> bool:
    return isinstance(loop, asyncio.BaseEventLoop) and abs(loop.time() - asyncio.BaseEventLoop.time(loop)) < _APART


@contextlib.contextmanager
def _by_clock_of_test(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Keep a loop's clock running for the length of a block: the one by which its test has waited."""
    start = _VIRTUAL.get(loop) if _shows_real_time(loop) else None
    with going_on(loop):
        if start is None:
            yield
            return
        began, shown = monotonic(), start
        vars(loop)["time"] = lambda: shown + monotonic() - began
        yield
        _VIRTUAL[loop] = loop.time()


def close_dropped_generators(
    loop: asyncio.AbstractEventLoop, pending: Callable[[], Iterable[Task]], deadline: Deadline
) -> None:
    """Let an idle loop close the async generators that were dropped, which it does in tasks of their own."""
    while (closing := [task for task in pending() if closes_generator(task)]) and deadline.left:
        pump(loop, closing, deadline.left)


def closes_generator(task: Task) -> bool:
    """Tell whether a task does nothing but close an async generator."""
    return type(task.get_coro()).__name__ == "async_generator_athrow"


async def wait_here(tasks: Iterable[asyncio.Future[Any]], timeout: float) -> None:
    """Wait for tasks of the running loop."""
    if waiting := [task for task in tasks if not task.done()]:
        with going_on(asyncio.get_running_loop()):
            await wait(waiting, timeout=timeout)


def waits_back(task: Task) -> Task | None:
    """Return the task that another one waits for, if that one waits for it, directly or by others."""
    first = waited = getattr(task, "_fut_waiter", None)
    for _ in range(_LONGEST_CIRCLE):
        if not isinstance(waited, asyncio.Task):
            return None
        if waited is task:
            return first
        waited = getattr(waited, "_fut_waiter", None)
    return None


def watch(done: Callable[[], bool], deadline: Deadline) -> None:
    """Look again and again, until something is done or the deadline is over."""
    number = 0
    while not done() and deadline.left:
        sleep(min(_PAUSES[min(number, len(_PAUSES) - 1)], deadline.left))
        number += 1


def settle_tasks(tasks: Iterable[Task], deadline: Deadline) -> None:
    """Wait for tasks, on whichever loops they are."""
    watched = []
    for loop, mine in by_loop(tasks).items():
        if can_pump(loop):
            pump(loop, mine, deadline.left)
        elif not loop.is_closed() and loop is not running_loop():
            watched += mine
    watch(lambda: all(task.done() or not task.get_loop().is_running() for task in watched), deadline)


def settle_threads(threads: Iterable[threading.Thread], deadline: Deadline) -> None:
    """Wait for threads to end."""
    for thread in threads:
        if thread is not threading.current_thread():
            threading.Thread.join(thread, deadline.left)  # one that was overridden may end the thread
