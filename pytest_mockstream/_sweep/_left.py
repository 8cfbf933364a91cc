"""What a run left behind.

The wall: the one place that knows who looks for leaks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from typing import Any

from pytest_mockstream._playback import End
from pytest_mockstream._playbook import Request, State

_LEAVING: dict[str, tuple[State, End]] = {"close": ("closed", End.LEFT), "cancel": ("cancelled", End.CANCELLED)}


class Remains:
    """Compares what runs before a run with what runs after it."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._tasks = asyncio.all_tasks() if asyncio._get_running_loop() else set()
        self._threads = set(threading.enumerate())

    def look_at_threads(self, opened: Iterable[Request]) -> tuple[str, ...]:
        """Do as ``look``, where no loop runs."""
        streams = left_open(opened)
        threads = [thread for thread in threading.enumerate() if thread not in self._threads]
        for thread in threads:
            thread.join(self._grace)
        return (*streams, *(f"left running: {thread!r}" for thread in threads if thread.is_alive()))

    async def look(self, opened: Iterable[Request]) -> tuple[str, ...]:
        """Return what is left, in words, and end it."""
        tasks = asyncio.all_tasks() - self._tasks
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=self._grace)
        streams = left_open(opened)
        threads = [t for t in threading.enumerate() if t not in self._threads and t.name.startswith("mockstream")]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace)
        return (*(f"left running: {task!r}" for task in tasks), *streams, *(map(repr, threads)))


def left_open(opened: Iterable[Request]) -> list[str]:
    """Return the streams that nobody closed, in words, and close them."""
    left = [request for request in opened if request.state in {"open", "dropped"}]
    told = [request.title() for request in left]
    for request in left:
        end_stream(request, "close")
    return told


def end_stream(request: Request, how: str) -> None:
    """End a stream as its own ``close()`` or ``cancel()`` would; only what is open."""
    state, ending = _LEAVING[how]
    progress: Any = request.progress
    if request.settle(state) and progress is not None:
        getattr(progress, "playback", progress).stop(ending)
