"""An asyncio loop in which nothing arrives by itself: when it is idle, it asks what is to come next.

It knows no streams and chooses nothing.

Theory of operation: this is the standard selector loop, of which only public methods are replaced. Its timers are kept
here instead of in the loop, which therefore never waits for any: it asks its selector to wait only when no callback is
left to be run. The selector then asks ``on_idle``, which lets something arrive. What other threads call comes here,
too, and waits for its turn. Callbacks that are ready run first in, first out, as in any other loop.

looptime is no choice here: it jumps to the next timer itself, and tells nobody that the loop has become idle.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from types import BuiltinMethodType
from typing import Any, TypeVar, TypeVarTuple

from pytest_mockstream.leaks import is_kept_idle, is_kept_worker

from .on_asyncio import copy_outcome

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_REAL_WAIT = 0.01  # seconds between two looks whether a thread or a socket has something


class Timer(asyncio.TimerHandle):
    """A call that is due at an instant of virtual time; unlike asyncio's own, it equals only itself."""

    __hash__ = object.__hash__
    __eq__ = object.__eq__

    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: ArrivalLoop,
        context: Context | None,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.callback, self.args, self.context = callback, args, context
        self._arrivals = loop

    def cancel(self) -> None:
        """Cancel it."""
        super().cancel()
        self._arrivals.timers.pop(self, None)


@dataclass(eq=False, slots=True)
class Call:
    """What another thread has called.

    Attributes:
        thread: the one that did.
        args: what it was called with; asyncio gives the future whose result it is.
        handle: is cancelled if nobody wants it any more.
        run: lets the loop have it.
    """

    thread: threading.Thread
    args: tuple[object, ...]
    handle: asyncio.Handle
    run: Callable[[], object]


class _Selector(selectors.DefaultSelector):
    """Asks what is to come where another selector would wait."""

    loop: ArrivalLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self.loop
        if timeout is not None:  # some callback is ready
            return super().select(0) if loop.has_sockets else []
        if loop.has_sockets and loop.on_idle is not None:
            loop.reads_sockets = True
            ready = super().select(_REAL_WAIT)  # for what may be on its way: the rest can wait
        else:
            ready = super().select(0)
        while not ready and loop.on_idle is not None and not loop.on_idle():
            ready = super().select(_REAL_WAIT)
        return ready if ready or loop.on_idle is not None else super().select(None)


class ArrivalLoop(asyncio.SelectorEventLoop):
    """A loop with virtual time that asks what is to come when it is idle.

    Attributes:
        on_idle: called when nothing is left to be run; returns whether it let something arrive. If it did not, the loop
            waits for sockets and threads for a moment of real time, and asks again. None waits in real time.
        now: the virtual time.
        timers: those that are not due yet, in the order in which they were set.
        calls: what other threads have called, in order.
        jobs: the results of executors that are still to come, each with the function.
        on_timer: called with each timer that is set.
        threads_before: the threads that there were when it was made.
        reads_sockets: whether it ever was idle while it listened to a socket.
    """

    def __init__(self) -> None:
        self.on_idle: Callable[[], bool] | None = None
        self.now = 0.0
        self.timers: dict[Timer, None] = {}
        self.calls: list[Call] = []
        self.jobs: dict[asyncio.Future[Any], str] = {}
        self.reads_sockets = False
        self.threads_before = set(threading.enumerate())
        self.on_timer: Callable[[Timer], None] | None = None
        self._thread = threading.get_ident()
        self._starts_job = False
        self._its_selector = _Selector()
        self._its_selector.loop = self
        super().__init__(self._its_selector)
        self._own_sockets = len(self._its_selector.get_map())

    @property
    def has_sockets(self) -> bool:
        """Whether it listens to anything but its own wake-up."""
        return len(self._its_selector.get_map()) > self._own_sockets

    def time(self) -> float:
        """Return the virtual time."""
        return self.now

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function when somebody lets its instant arrive."""
        timer = Timer(when, callback, args, self, context)
        self.timers[timer] = None
        if self.on_timer is not None:
            self.on_timer(timer)
        return timer

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Call a function after so many seconds of virtual time."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def fire(self, timer: Timer) -> None:
        """Let a timer be due now, and time go on to its instant."""
        del self.timers[timer]
        self.now = max(self.now, timer.when())
        self.call_soon(timer.callback, *timer.args, context=timer.context)

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Call a function; from another thread, when somebody lets it arrive."""
        is_own = threading.get_ident() == self._thread and not self._starts_job
        if self.on_idle is None or is_own:
            return super().call_soon_threadsafe(callback, *args, context=context)
        return self._take(callback, *args, context=context)

    def _take(self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self.calls.append(
            Call(threading.current_thread(), args, handle, lambda: self.call_soon(callback, *args, context=context))
        )
        super().call_soon_threadsafe(_nothing)
        return handle

    def let_in(self, call: Call) -> None:
        """Let arrive what another thread has called."""
        self.calls.remove(call)
        if not call.handle.cancelled():
            call.run()

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Call a function in a thread; its result comes when somebody lets it arrive."""
        self._starts_job = True  # a quick one has its result at once, told in this thread
        try:
            future = super().run_in_executor(executor, func, *args)
        finally:
            self._starts_job = False
        if self.on_idle is None:
            return future
        later = future if not future.done() else self.create_future()
        self.jobs[later] = _name_of(func)
        later.add_done_callback(lambda done: self.jobs.pop(done, None))
        if later is not future:  # as it is from 3.14 on
            self._take(copy_outcome, future, later)
        return later

    def calls_in_order(self) -> list[Call]:
        """Return what other threads have called: first the results of jobs, in the order in which they were asked for.

        Which thread was faster must not matter.
        """
        if not self.jobs:
            return self.calls[:]
        numbers: dict[object, int] = {job: number for number, job in enumerate(self.jobs)}
        return sorted(self.calls, key=lambda call: numbers.get(self.job_of(call), len(numbers)))

    def job_of(self, call: Call) -> asyncio.Future[Any] | None:
        """Return the job of whose result a thread tells."""
        return next((arg for arg in call.args if isinstance(arg, asyncio.Future) and arg in self.jobs), None)

    def busy_jobs(self) -> set[object]:
        """Return the jobs of which no thread has told the result yet, and the workers of anyio that have one."""
        found: set[object] = {*self.jobs}
        if threading.active_count() > len(self.threads_before):
            found |= {one for one in self.threads_started() if is_kept_worker(one) and not is_kept_idle(one)}
        for call in self.calls if found else ():
            found -= {self.job_of(call), call.thread}
        return found

    def threads_started(self) -> list[threading.Thread]:
        """Return the threads that were started since it was made."""
        return [thread for thread in threading.enumerate() if thread not in self.threads_before]

    def forget_rest(self) -> None:
        """Forget the timers and calls that a run has left behind."""
        for timer in list(self.timers):
            timer.cancel()
        self.calls.clear()
        self.jobs.clear()

    def close(self) -> None:
        """Close the loop, and wait for its threads before that, in real time."""
        if not self.is_closed():
            self.on_idle = None
            self.run_until_complete(self.shutdown_asyncgens())
            self.run_until_complete(self.shutdown_default_executor())
        super().close()


def _nothing() -> None:
    """Wake the loop."""


def _name_of(function: Any) -> str:
    """Return the name of a function that runs in a thread; ``asyncio.to_thread`` wraps it in a call of a context."""
    while isinstance(function, partial):
        function = function.args[0] if function.args and isinstance(function.func, BuiltinMethodType) else function.func
    return f"{getattr(function, '__name__', repr(function))}()"


@contextmanager
def beside_running_loop() -> Iterator[None]:
    """Let another loop run in this thread for the length of a block, although one runs here already.

    That one stands still meanwhile. asyncio documents the functions that do this for implementers of loops and tasks.
    """
    outer = asyncio._get_running_loop()
    if outer is None:
        yield
        return
    task = asyncio.current_task(outer)
    if task is not None:
        asyncio.tasks._leave_task(outer, task)
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(outer)
        if task is not None:
            asyncio.tasks._enter_task(outer, task)
