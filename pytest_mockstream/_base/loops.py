"""The event loop that runs here, asyncio's or trio's, behind one interface: its clock, its waits, and tasks in it.

No other module needs to know which of the two it is. trio is used where the code under test has loaded it; nothing here
imports it.

Theory of operation: trio has no object for an event loop. What stands for one is the token that each ``trio.run`` has.
A trio run inside an asyncio loop (guest mode), and an asyncio loop inside a trio run (trio-asyncio), have both at once;
there counts which of them the running code belongs to, as it does for sniffio.

Whoever is to be woken may be woken from any thread, finaliser or signal handler. On trio that is
``TrioToken.run_sync_soon``, also from the same thread: trio is not reentrant where a finaliser may run.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from . import clock
from .clock import call_later, is_patched, monotonic, pause

if TYPE_CHECKING:
    from trio.lowlevel import TrioToken

#: What identifies a loop: an asyncio loop itself, or the token of a run of trio.
Loop: TypeAlias = "asyncio.AbstractEventLoop | TrioToken"

_TRIO = "trio"
_modules = sys.modules
_running_asyncio_loop = asyncio._get_running_loop


def trio_here() -> Any:
    """Return the module ``trio`` if the running code is a task of trio; otherwise None."""
    try:
        trio: Any = _modules[_TRIO]
        if not trio.lowlevel.in_trio_task():
            return None
    except (KeyError, AttributeError):  # it is not loaded, or another thread is importing it at this moment
        return None
    sniffio = _modules.get("sniffio")
    return trio if sniffio is None or sniffio.thread_local.name in {None, "trio"} else None


def running_loop() -> Loop | None:
    """Return what identifies the event loop that runs in this thread; None where none does."""
    # Each chunk comes by here: without trio it is one look into a dict.
    if _TRIO in _modules and (trio := trio_here()) is not None:
        return trio.lowlevel.current_trio_token()  # type: ignore[no-any-return] # a TrioToken
    return _running_asyncio_loop()


def asyncio_loop(loop: Loop | None) -> asyncio.AbstractEventLoop | None:
    """Return a loop if it is one of asyncio."""
    return loop if isinstance(loop, asyncio.AbstractEventLoop) else None


def clock_of(loop: Loop | None) -> Callable[[], float]:
    """Return the clock to measure by in the running loop, or by None outside of any.

    It is the loop's own if it has one, such as a virtual clock, else the real clock. It may be read from any thread.
    """
    if loop is None or isinstance(loop, asyncio.AbstractEventLoop):
        return clock.clock_of(loop)
    trio_clock = _modules[_TRIO].lowlevel.current_clock()
    return monotonic if _is_system_clock(trio_clock) else trio_clock.current_time


def _is_system_clock(trio_clock: object) -> bool:
    """Tell whether it is trio's own clock, which shows real time; told by name, since it is private."""
    return type(trio_clock).__name__ == "SystemClock" and type(trio_clock).__module__.startswith("trio.")


def checkpoint_of(loop: Loop | None) -> Callable[[], Awaitable[object]]:
    """Return what lets other tasks of a loop run, and raises a cancellation that is due."""
    if loop is None or isinstance(loop, asyncio.AbstractEventLoop):
        return clock.turn
    checkpoint: Callable[[], Awaitable[object]] = _modules[_TRIO].lowlevel.checkpoint
    return checkpoint


def running_coroutine() -> Any:
    """Return the coroutine of the running task; None where none runs."""
    if (trio := trio_here()) is not None:
        return trio.lowlevel.current_task().coro
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    return None if task is None else task.get_coro()


def is_cancellation(error: BaseException) -> bool:
    """Tell whether an exception is the cancellation of a task, which has to be passed on."""
    trio = _modules.get(_TRIO)
    return isinstance(error, asyncio.CancelledError) or (trio is not None and isinstance(error, trio.Cancelled))


# Waiting.


class Waiter(Protocol):
    """Waits in the running loop, once, until somebody wakes it."""

    def wake(self) -> None:
        """End the wait. Callable from any thread, finaliser or signal handler, any number of times."""

    async def wait(self, timeout: float | None) -> bool:
        """Wait; False after ``timeout`` seconds in which nobody woke it."""


def waiter() -> Waiter:
    """Return a waiter for the running task.

    Raises:
        RuntimeError: no event loop runs.
    """
    trio = trio_here()
    return _AsyncioWaiter() if trio is None else _TrioWaiter(trio)


class _AsyncioWaiter:
    __slots__ = ("_future", "_loop")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[bool] = self._loop.create_future()

    def wake(self) -> None:
        if asyncio._get_running_loop() is self._loop:
            _resolve(self._future, True)
            return
        with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(_resolve, self._future, True)

    async def wait(self, timeout: float | None) -> bool:
        if timeout is None:
            return await self._future
        timer = call_later(self._loop, max(0.0, timeout), _resolve, self._future, False)
        try:
            return await self._future
        finally:
            timer.cancel()


def _resolve(future: asyncio.Future[bool], notified: bool) -> None:
    if not future.done():
        future.set_result(notified)


class _TrioWaiter:
    __slots__ = ("_event", "_token", "_trio")

    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._event = trio.Event()
        self._token = trio.lowlevel.current_trio_token()

    def wake(self) -> None:
        with suppress(RuntimeError):  # trio.RunFinishedError: nobody waits there any more
            self._token.run_sync_soon(self._event.set)

    async def wait(self, timeout: float | None) -> bool:
        if timeout is None:
            await self._event.wait()
        elif is_patched() and _is_system_clock(self._trio.lowlevel.current_clock()):
            await self._poll(monotonic() + timeout)
        else:
            with self._trio.move_on_after(max(0.0, timeout)):
                await self._event.wait()
        return self._event.is_set()  # type: ignore[no-any-return] # a bool

    async def _poll(self, end: float) -> None:
        """Wait by the real clock, where a test has frozen trio's: a deadline of trio's would never come."""
        while not self._event.is_set() and (left := end - monotonic()) > 0:
            pause(left)
            await self._trio.lowlevel.checkpoint()


# Tasks of our own.


class BackgroundTask(Protocol):
    """A task of ours in a loop; it is cancelled with the loop at the latest."""

    @property
    def loop(self) -> Loop:
        """The loop that runs it."""

    async def wait(self) -> None:
        """Wait, in the same loop, until it has ended."""

    def cancel(self) -> None:
        """Cancel it. Callable from any thread, finaliser or signal handler, any number of times."""


def start_task(
    loop: Loop, function: Callable[[], Coroutine[Any, Any, object]], gone: Callable[[], None], name: str
) -> BackgroundTask:
    """Start a task in the running loop.

    Args:
        loop: the running one.
        function: returns its coroutine.
        gone: called when it has ended, however that came about, even if it never got to its first step.
        name: of the task.
    """
    if isinstance(loop, asyncio.AbstractEventLoop):
        return _AsyncioTask(loop, function, gone, name)
    return _TrioTask(_modules[_TRIO], function, gone, name)


class _AsyncioTask:
    __slots__ = ("_task", "loop")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[[], Coroutine[Any, Any, object]],
        gone: Callable[[], None],
        name: str,
    ) -> None:
        self.loop: Loop = loop
        self._task = loop.create_task(function(), name=name)
        self._task.add_done_callback(lambda _: gone())

    async def wait(self) -> None:
        await asyncio.wait((self._task,))

    def cancel(self) -> None:
        if asyncio._get_running_loop() is self.loop:
            self._task.cancel()
            return
        with suppress(RuntimeError):  # the loop is closed, and its tasks have ended
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)


class _TrioTask:
    """A system task: it belongs to no nursery of the user's, goes by the run's clock, and ends with the main task."""

    __slots__ = ("_ended", "_scope", "loop")

    def __init__(
        self, trio: Any, function: Callable[[], Coroutine[Any, Any, object]], gone: Callable[[], None], name: str
    ) -> None:
        self.loop: Loop = trio.lowlevel.current_trio_token()
        self._ended = ended = trio.Event()
        self._scope = scope = trio.CancelScope()

        async def run() -> None:
            try:
                with scope:
                    await function()
            finally:
                gone()
                ended.set()

        trio.lowlevel.spawn_system_task(run, name=name)

    async def wait(self) -> None:
        await self._ended.wait()

    def cancel(self) -> None:
        token: Any = self.loop
        with suppress(RuntimeError):  # trio.RunFinishedError: it has ended
            token.run_sync_soon(self._scope.cancel)
