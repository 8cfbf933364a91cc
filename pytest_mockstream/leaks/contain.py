"""Ends tasks that leaked: those of a loop that is being closed, and those that somebody wants contained.

Theory of operation: a task is cancelled up to three times, with a moment after each. If it swallows that, its coroutine
is closed, which it can only refuse by swallowing ``GeneratorExit`` as well. Then it is abandoned: asyncio forgets it,
so that closing its loop does not wait for it for ever, and it is kept, so that no collector tries to close it again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from . import internals
from .interpreter import can_pump
from .settle import Deadline, Task, by_loop, pump, wait_here, waits_back, watch

_ROUNDS = 3
_MOMENT = 0.05


def end_tasks(tasks: Iterable[Task]) -> set[Task]:
    """Cancel tasks of loops that are not closed; return those that swallowed their cancellation."""
    stubborn: set[Task] = set()
    for loop, mine in by_loop(tasks).items():
        if can_pump(loop):
            stubborn |= _end_on_idle(loop, mine)
        elif loop.is_running():
            stubborn |= _end_on_running(loop, mine)
    return stubborn


async def end_tasks_here(tasks: list[Task]) -> set[Task]:
    """Do as ``end_tasks``, for tasks of the running loop."""
    stubborn: set[Task] = set()
    for number in range(_ROUNDS):
        left = _cancel(tasks)
        stubborn |= _resisting(left) if number == _ROUNDS - 1 else set()
        await wait_here(left, _MOMENT)
    for task in tasks:
        if not task.done():
            _close(task)
            await wait_here([task], _MOMENT)
        _hush(task)
    return stubborn


def _end_on_idle(loop: asyncio.AbstractEventLoop, tasks: list[Task]) -> set[Task]:
    stubborn: set[Task] = set()
    for number in range(_ROUNDS):
        left = _cancel(tasks)
        stubborn |= _resisting(left) if number == _ROUNDS - 1 else set()
        _pump(loop, left)
    for task in tasks:
        if not task.done():
            # On the loop: one that catches everything would try again and again, were there none to wait on.
            loop.call_soon(_close, task)
            _pump(loop, [task])
        _hush(task)
    return stubborn


def _pump(loop: asyncio.AbstractEventLoop, tasks: list[Task]) -> None:
    """Give tasks a moment; a task that answers its cancellation with ``SystemExit`` does not end the run by that."""
    try:
        pump(loop, tasks, _MOMENT)
    except (KeyboardInterrupt, SystemExit) as error:
        if not any(task.done() and not task.cancelled() and task.exception() is error for task in tasks):
            raise  # somebody else's


def _cancel(tasks: list[Task]) -> list[Task]:
    left = [task for task in tasks if not task.done()]
    for task in left:
        _request_cancellation(task)
    return left


def _resisting(tasks: list[Task]) -> set[Task]:
    """Return the tasks that have swallowed a cancellation; those in a circle never got one."""
    return {task for task in tasks if waits_back(task) is None}


def _request_cancellation(task: Task) -> None:
    # Tasks that wait for each other pass their cancellation on in a circle; asyncio itself cannot cancel them.
    with contextlib.suppress(RecursionError):
        task.cancel()


def _end_on_running(loop: asyncio.AbstractEventLoop, tasks: list[Task]) -> set[Task]:
    for task in tasks:
        with contextlib.suppress(RuntimeError):  # it was closed this very moment
            loop.call_soon_threadsafe(task.cancel)
    if loop is not asyncio._get_running_loop():
        watch(lambda: all(task.done() for task in tasks), Deadline(_MOMENT))
        return {task for task in tasks if not task.done() and loop.is_running()}
    return set()


def _close(task: Task) -> None:
    """Close the coroutine of a task; its next step ends it, for a closed coroutine cannot go on."""
    coro = task.get_coro()
    with contextlib.suppress(RuntimeError, ValueError):  # it swallowed GeneratorExit, or it is running
        if coro is not None and hasattr(coro, "close"):
            coro.close()
    _request_cancellation(task)


def _hush(task: Task) -> None:
    """Fetch the exception of a task that we ended, or asyncio would say that nobody did; detach one that lives on."""
    if not task.done():
        internals.forget_task(task)
        internals.keep_for_good(task.get_coro())
    elif not task.cancelled():
        task.exception()
