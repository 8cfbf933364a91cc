"""Wakes threads and asyncio tasks from any thread, without a lock.

Waits in a loop use the loop's own timers, so that virtual time makes them virtual; where a test has patched the clock
of an ordinary loop, they go by the real clock.

Theory of operation: a waiter first reads ``count``, then checks whether what it waits for is already there, and only
then waits for a notification after that count. None can be missed between the check and the wait, but one that was
counted before may still wake somebody who has just begun to wait, so waiters check again. There is no lock: single
operations on a dict are atomic, and a finaliser may notify at any point of any thread, where a lock could deadlock.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from .clock import call_later


def _resolve(future: asyncio.Future[bool], notified: bool) -> None:
    if not future.done():
        future.set_result(notified)


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


class Notifier:
    """Counts notifications; each wakes everybody who waits, as ``Condition.notify_all`` does, without a lock."""

    __slots__ = ("_wakers", "count")

    def __init__(self) -> None:
        self.count = 0
        self._wakers: dict[object, Callable[[], None]] = {}

    def notify(self) -> None:
        """Wake everybody who waits. Callable from any thread, finaliser or signal handler."""
        self.count += 1
        while self._wakers:
            try:
                _, wake = self._wakers.popitem()
            except KeyError:  # its waiter left in between
                continue
            wake()

    def wait(self, seen: int, timeout: float | None) -> bool:
        """Block this thread until a notification after count ``seen``; False after ``timeout`` seconds without one."""
        event = threading.Event()
        self._wakers[event] = event.set
        try:
            return self.count != seen or event.wait(None if timeout is None else max(0.0, timeout))
        finally:
            self._wakers.pop(event, None)

    async def wait_async(self, seen: int, timeout: float | None) -> bool:
        """Do as ``wait``, in the running loop."""
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
