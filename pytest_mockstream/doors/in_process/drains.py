"""Reads the rest of answers whose clients have left, for a bounded time, and waits for it.

Theory of operation: whoever reads on does so where the client has read: in a task of its loop, else in a thread. Either
ends at its deadline. The door waits for both when it closes, and before a loop is closed that one of the tasks runs in.
A loop that stands still, as a test's does while its fixtures are torn down, is run meanwhile. A door that closes in a
running loop cannot wait for its tasks, and ends them. Of a client that leaves while its loop is being closed, or after
the door was, no rest is read.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from contextvars import Context
from types import ModuleType
from typing import Any, Protocol

from pytest_mockstream._base.copied import copied
from pytest_mockstream._base.loops import Loop, asyncio_loop, running_loop, start_task
from pytest_mockstream._base.replace import Hook, Replacement

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_NAME = "mockstream-drain"
_MARGIN = 1.0  # seconds that a reader may take to end once its time is over


class _Drain(Protocol):
    """Reads the rest of one answer."""

    def wait(self) -> None:
        """Wait until it has ended, unless only the running loop could end it."""

    def give_up(self) -> None:
        """End it, if it has not ended."""


class _InThread:
    def __init__(self, read: Callable[[], None], seconds: float, gone: Callable[[_Drain], None]) -> None:
        self._read = read
        self._seconds = seconds
        self._gone = gone
        self._thread = threading.Thread(target=self._run, name=_NAME, daemon=True)

    def start(self) -> None:
        Context().run(self._thread.start)  # in no test's context: it is nobody's thread but ours

    def _run(self) -> None:
        try:
            self._read()
        finally:
            self._gone(self)

    def wait(self) -> None:
        self._thread.join(self._seconds + _MARGIN)

    def give_up(self) -> None:
        """Do nothing: it ends at its deadline, and has been waited for so long."""


class InLoop:
    """Reads in a task of the running loop."""

    def __init__(
        self,
        loop: Loop,
        read: Callable[[], Coroutine[Any, Any, object]],
        close: Callable[[], Coroutine[Any, Any, object]],
        seconds: float,
        gone: Callable[[_Drain], None],
    ) -> None:
        self._over = threading.Event()
        self._seconds = seconds
        self._gone = gone
        self._read = read
        self._close = close
        self._task = start_task(loop, self.run, self._end, _NAME)

    async def run(self) -> None:
        """Read to the end, and close; the leak check knows the task by this name."""
        try:
            await self._read()
        finally:
            await self._close()

    def _end(self) -> None:
        self._gone(self)
        self._over.set()

    def wait(self) -> None:
        """Wait, where that can be done: not in the loop itself."""
        here = running_loop()
        loop = asyncio_loop(self._task.loop)
        if here is self._task.loop or self._over.is_set():
            return
        if loop is not None and loop.is_closed():
            self._end()
        elif loop is not None and not loop.is_running():
            if here is None:
                loop.run_until_complete(self._task.wait())
        else:
            self._over.wait(self._seconds + _MARGIN)

    def give_up(self) -> None:
        """Cancel the task, once it has begun: asyncio begins none that is cancelled before, and it has to close."""
        in_loop_soon(self._task.loop, self._task.cancel)


class Drains:
    """What one door still reads of answers whose clients have left.

    Attributes:
        is_over: whether nothing more is read.
    """

    def __init__(self) -> None:
        self.is_over = False
        self._running: set[_Drain] = set()
        self._later: list[Callable[[], None]] = []
        self._here = threading.local()

    def in_thread(self, read: Callable[[], None], seconds: float) -> bool:
        """Read in a thread; False if nothing is read any more."""
        if self.is_over:
            return False
        drain = _InThread(read, seconds, self._running.discard)
        self._running.add(drain)
        try:
            drain.start()
        except RuntimeError:  # the interpreter exits, or has no room for a thread
            self._running.discard(drain)
            return False
        return True

    def in_loop(
        self,
        read: Callable[[], Coroutine[Any, Any, object]],
        close: Callable[[], Coroutine[Any, Any, object]],
        seconds: float,
    ) -> bool:
        """Read in a task of the running loop, and close in any case; False if nothing is read any more."""
        loop = running_loop()
        if self.is_over or loop is None or getattr(self._here, "closes_loop", False):
            return False
        drain = InLoop(loop, read, close, seconds, self._running.discard)
        self._running.add(drain)
        return True

    def later(self, start: Callable[[], None]) -> None:
        """Have something called when the door waits; from a finaliser, which may start no thread."""
        self._later.append(start)

    def wait(self) -> None:
        """Wait until all that can be waited for from here has ended."""
        while self._later:
            self._later.pop()()
        for drain in copied(self._running):
            drain.wait()

    def end(self) -> None:
        """Wait for what is being read, and read nothing from now on."""
        self.wait()
        self.is_over = True
        for drain in copied(self._running):
            drain.give_up()

    def hooks(self) -> dict[str, Hook]:
        """Return what to replace, so that a loop is not closed in the middle of it."""

        def closing(original: Callable[..., Any]) -> Callable[..., Any]:
            def close(runner: Any) -> Any:
                if running_loop() is None:
                    self.wait()
                self._here.closes_loop = True
                try:
                    return original(runner)
                finally:
                    self._here.closes_loop = False

            return close

        def hook(library: ModuleType) -> Iterator[Replacement]:
            yield Replacement(library.Runner, "close", closing)

        return {"asyncio": hook}


def in_loop_soon(loop: Loop | None, call: Callable[[], None]) -> None:
    """Have something called in a loop; from any thread or finaliser."""
    with suppress(RuntimeError):  # it is closed, or its run is over
        if isinstance(loop, asyncio.AbstractEventLoop):
            loop.call_soon_threadsafe(call)
        elif loop is not None:
            loop.run_sync_soon(call)
