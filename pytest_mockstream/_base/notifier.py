"""Wakes threads and tasks of event loops from any thread, without a lock.

Waits in a loop use the loop's own timers, so that virtual time makes them virtual; where a test has patched the clock
of an ordinary loop, they go by the real clock.

Theory of operation: a waiter first reads ``count``, then checks whether what it waits for is already there, and only
then waits for a notification after that count. None can be missed between the check and the wait, but one that was
counted before may still wake somebody who has just begun to wait, so waiters check again. There is no lock: single
operations on a dict are atomic, with the global interpreter lock and without, and a finaliser may notify at any point
of any thread, where a lock could deadlock. Adding one to an attribute is not atomic: of three notifications at once,
the last to write could put back the count that a waiter had seen. So each takes a number that no other one gets.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from .loops import waiter

_next_number = itertools.count(1).__next__


class Notifier:
    """Numbers notifications; each wakes everybody who waits, as ``Condition.notify_all`` does, without a lock.

    Attributes:
        count: the number of the latest notification; no two have the same.
    """

    __slots__ = ("_wakers", "count")

    def __init__(self) -> None:
        self.count = 0
        self._wakers: dict[object, Callable[[], None]] = {}

    def notify(self) -> None:
        """Wake everybody who waits. Callable from any thread, finaliser or signal handler."""
        self.count = _next_number()
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
        waiting = waiter()
        self._wakers[waiting] = waiting.wake
        try:
            return self.count != seen or await waiting.wait(timeout)
        finally:
            self._wakers.pop(waiting, None)
