"""An event loop in a thread of its own; everything that is done on the loop goes through ``run``."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from pytest_mockstream._base.clock import monotonic

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    """The standard loop, whatever policy the test sets, on a clock that no test freezes."""

    def time(self) -> float:
        return monotonic()


class LoopThread:
    """Runs an event loop in a daemon thread from ``start`` to ``stop``.

    What runs on the loop runs in a copy of the context that started the thread, so it is credited to whoever started
    the server, not to the test that happens to run.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._context = contextvars.Context()

    def start(self) -> None:
        """Start the thread; the loop runs when this returns."""
        running = threading.Event()
        self._loop = _Loop()
        self._loop.call_soon(running.set)
        self._thread = threading.Thread(target=self._loop.run_forever, name=self._name, daemon=True)
        self._context = contextvars.copy_context()
        self._thread.start()
        running.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; not from the loop's own thread."""
        assert self._loop is not None, "start() comes first"  # noqa: S101 - a bug of ours, not of the user's
        context = self._context.copy()  # for two threads may be here at once
        return context.run(asyncio.run_coroutine_threadsafe, coroutine, self._loop).result()

    def stop(self) -> None:
        """End the loop and its thread; both are gone when this returns."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped; in a forked child nothing of it is left."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread
