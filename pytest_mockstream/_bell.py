"""A bell that any thread may ring and any thread or asyncio task may wait for.

The wall: knows nothing of streams. Waits go through the running loop's own timers, so a loop with a virtual clock
makes them virtual; where a test has patched the clock of an ordinary loop, they go by the real one.

Theory of operation: whoever waits first reads ``count``, then looks whether what it waits for is there already, then
waits for a ring after that count. No ring can fall between looking and waiting, but one that was counted already may
still wake somebody who has just come: waiters look again. There is no lock: single operations on a dict are atomic, and
a finaliser may ring at any point of any thread, where taking a lock could deadlock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from ._clock import call_later


def _resolve(future: asyncio.Future[bool], rung: bool) -> None:
    if not future.done():
        future.set_result(rung)


def _waker(loop: asyncio.AbstractEventLoop, future: asyncio.Future[bool]) -> Callable[[], None]:
    def wake() -> None:
        if asyncio._get_running_loop() is loop:
            _resolve(future, True)
            return
        try:
            loop.call_soon_threadsafe(_resolve, future, True)
        except RuntimeError:  # the loop is closed: nobody waits there any more
            return

    return wake


class Bell:
    """Rings as often as it likes; each ring wakes everybody who waits."""

    __slots__ = ("_wakers", "count")

    def __init__(self) -> None:
        self.count = 0
        self._wakers: dict[object, Callable[[], None]] = {}

    def ring(self) -> None:
        """Wake everybody who waits. From any thread, finaliser or signal handler."""
        self.count += 1
        while self._wakers:
            try:
                _, wake = self._wakers.popitem()
            except KeyError:  # its waiter left between the look and the grip
                continue
            wake()

    def wait(self, seen: int, timeout: float | None) -> bool:
        """Block this thread until a ring after count ``seen``; False if ``timeout`` seconds passed without one."""
        rung = threading.Event()
        self._wakers[rung] = rung.set
        try:
            return self.count != seen or rung.wait(None if timeout is None else max(0.0, timeout))
        finally:
            self._wakers.pop(rung, None)

    async def await_ring(self, seen: int, timeout: float | None) -> bool:
        """Wait in the running loop until a ring after count ``seen``; False after ``timeout`` seconds without one."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._wakers[future] = _waker(loop, future)
        timer = None
        try:
            if self.count != seen:
                return True
            if timeout is not None:
                timer = call_later(loop, max(0.0, timeout), _resolve, future, False)
            return await future
        finally:
            self._wakers.pop(future, None)
            if timer is not None:
                timer.cancel()
