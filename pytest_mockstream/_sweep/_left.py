"""What a run left behind.

The wall: the one place that knows who looks for leaks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

from pytest_mockstream._playbook import Request


class Remains:
    """Compares what runs before a run with what runs after it."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._tasks = asyncio.all_tasks()
        self._threads = set(threading.enumerate())

    async def look(self, opened: Iterable[Request]) -> tuple[str, ...]:
        """Return what is left, in words, and end it."""
        tasks = asyncio.all_tasks() - self._tasks
        if tasks:
            _, tasks = await asyncio.wait(tasks, timeout=self._grace)
        streams = [request.title() for request in opened if request.state in {"open", "dropped"}]
        threads = [t for t in threading.enumerate() if t not in self._threads and t.name.startswith("mockstream")]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace)
        return (*(f"left running: {task!r}" for task in tasks), *streams, *(map(repr, threads)))
