"""An event loop in a thread of its own; everything that is done on the loop goes through ``run``.

Nobody waits for the thread for ever: what blocks it, it would block its waiters, too, and no time-out of theirs could
say where.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import threading
import traceback
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from pytest_mockstream._base.clock import monotonic

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

T = TypeVar("T")

_PATIENCE = 20.0


class _Loop(asyncio.SelectorEventLoop):
    """The standard loop, whatever policy the test sets, on a clock that no test freezes."""

    def time(self) -> float:
        return monotonic()

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        """Look a name up in the caller's context, so that the guard knows who asks."""
        return await asyncio.to_thread(socket.getaddrinfo, host, port, **how)


class LoopThread:
    """Runs an event loop in a daemon thread from ``start`` to ``stop``.

    What runs on the loop runs in a copy of the context that started the thread, so it is credited to whoever started
    the server, not to the test that happens to run.

    Args:
        name: of the thread.
        patience: how long to wait for it, in seconds.
    """

    def __init__(self, name: str, *, patience: float = _PATIENCE) -> None:
        self._name = name
        self._patience = patience
        self._overdue: Future[Any] | None = None
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
        if not running.wait(self._patience):
            raise self._blocked()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and return its result; not from the loop's own thread.

        Raises:
            RuntimeError: the thread is blocked; it says where. Until it has gone on, nobody waits for it again.
        """
        assert self._loop is not None, "start() comes first"  # noqa: S101 - a bug of ours, not of the user's
        if self._overdue is not None and not self._overdue.done():
            coroutine.close()
            raise self._blocked()
        context = self._context.copy()  # for two threads may be here at once
        future = context.run(asyncio.run_coroutine_threadsafe, coroutine, self._loop)
        try:
            return future.result(self._patience)
        except TimeoutError:
            if future.done():  # it is the coroutine's own
                raise
        self._overdue = future
        raise self._blocked()

    def stop(self) -> None:
        """End the loop and its thread; both are gone when this returns.

        Raises:
            RuntimeError: the thread is blocked; it says where. It ends with what blocks it, or with the process.
        """
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        if self._overdue is not None:  # or the loop may end before a task that it has just made
            wait((self._overdue,), self._patience)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(self._patience)
        if thread.is_alive():
            raise self._blocked()
        self._loop = self._thread = None
        loop.close()

    def _blocked(self) -> RuntimeError:
        from pytest_mockstream.leaks import frames_of_thread  # loaded only once something is wrong

        assert self._thread is not None  # noqa: S101 - who waits has started it
        frames = [(frame, frame.f_lineno) for frame in frames_of_thread(self._thread)]
        stack = "".join(traceback.StackSummary.extract(reversed(frames)).format())
        return RuntimeError(f"{self._name!r} has not answered for {self._patience:g} s; its thread is here:\n{stack}")

    @property
    def is_running(self) -> bool:
        """Whether it was started and not stopped; in a forked child nothing of it is left."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in this thread."""
        return threading.current_thread() is self._thread
