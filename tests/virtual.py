"""Loops whose clock jumps, asyncio's and trio's: what would take hours takes milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import looptime
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a new loop with virtual time that starts at 0.

    The loop closes in real time, as with looptime's own plugin: asyncio then waits up to 300 s for the threads that an
    SDK has used, and a clock that jumps is through with them before a thread gets to end.
    """

    async def jumping() -> T:
        with looptime.enabled(strict=True):
            return await main

    with asyncio.Runner(loop_factory=lambda: looptime.new_event_loop(start=0, _enabled=False)) as runner:
        return runner.run(jumping())


class Asyncio:
    """What the laws of streams need of an event loop with virtual time: here asyncio's."""

    name = "asyncio"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine in virtual time that starts at 0."""
        return run(main())

    def time(self) -> float:
        """Return the time on the loop's clock."""
        return round(asyncio.get_running_loop().time(), 6)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def at_most(self, seconds: float) -> AsyncIterator[None]:
        """Cancel a block that takes longer, and go on after it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                yield

    async def cancelled_after(self, seconds: float, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        """Run a function in a task of its own, which is cancelled after so many seconds if it has not ended."""
        task = asyncio.ensure_future(function())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])

    @asynccontextmanager
    async def beside(self, function: Callable[[], Coroutine[Any, Any, object]]) -> AsyncIterator[None]:
        """Run a function in a task of its own beside a block."""
        async with asyncio.TaskGroup() as group:
            group.create_task(function())
            yield

    async def settle(self) -> None:
        """Let a producer that was woken act before its reader goes on, which on asyncio it does anyway."""

    def tasks(self) -> list[str]:
        """Return the names of all tasks but the running one."""
        return [task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}]


class Trio(Asyncio):
    """The same of trio."""

    name = "trio"

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return trio.run(main, clock=MockClock(autojump_threshold=0))

    def time(self) -> float:
        return round(trio.current_time(), 6)

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    @asynccontextmanager
    async def at_most(self, seconds: float) -> AsyncIterator[None]:
        with trio.move_on_after(seconds):
            yield

    async def cancelled_after(self, seconds: float, function: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def beside(self, function: Callable[[], Coroutine[Any, Any, object]]) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function)
            yield

    async def settle(self) -> None:
        await wait_all_tasks_blocked()  # trio runs what is due at one instant in any order

    def tasks(self) -> list[str]:
        found: list[str] = []
        left = [trio.lowlevel.current_root_task()]
        while left:
            if (task := left.pop()) is not None:
                left += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
                if task is not trio.lowlevel.current_task() and not task.name.startswith(("<", "trio._core")):
                    found.append(task.name)
        return found


BACKENDS = (Asyncio(), Trio())
on_both = pytest.mark.parametrize("backend", [pytest.param(backend, id=backend.name) for backend in BACKENDS])
