"""Count the places where a coroutine waits, and cancel it at one of them.

How the run ended is judged elsewhere.

Theory of operation: a ``Probe`` wraps the coroutine of a task and passes everything on. Each time that the coroutine
suspends counts as a point, and so does each suspension of the tasks that it started, for they go on while it waits for
them. At the chosen point the probe calls ``cancel()`` on the task of the coroutine under test, in the same step of the
loop that suspends it: the awaited future itself is cancelled, ``asyncio.timeout``, ``TaskGroup`` and ``shield`` see
what they would see of any cancellation, and no other callback of the loop runs in between. Child tasks are found by
their context: a ``ContextVar`` says to which run they belong.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from math import inf
from typing import Any

from pytest_mockstream._base.callsite import CallSite

from .positions import Position, line_of, position_of


class ProbedRun:
    """One run of the coroutine under test.

    Args:
        target: the number of the suspension at which it is cancelled, from 1; None does not cancel it.
        again: the number of the suspension after the first cancellation at which it is cancelled again, from 1.
        late: cancel only when what is awaited there has arrived, just before the coroutine gets to see it.

    Attributes:
        count: how many suspensions there were.
        limit: the number from which on suspensions are looked at one by one: that of the target, or infinity.
        task: the task that runs the coroutine.
        place: the line where it was cancelled.
        position: the same as a value that can be compared.
        child: the line of the child task whose suspension it was, where it was not the coroutine's own.
        cleanup: the positions of the suspensions in the clean-up, each with its number after the target.
        second_place: the line where it was cancelled again.
        raised_cancelled: whether ``CancelledError`` came out of it.
    """

    __slots__ = (
        "_again",
        "_late",
        "_probe",
        "_target",
        "child",
        "cleanup",
        "count",
        "limit",
        "place",
        "position",
        "raised_cancelled",
        "second_place",
        "task",
    )

    def __init__(self, target: int | None = None, *, again: int | None = None, late: bool = False) -> None:
        self.count = 0
        self.limit: float = inf if target is None else target
        self._target = self.limit
        self._again = again
        self._late = late
        self._probe: Probe | None = None
        self.task: asyncio.Task[Any] | None = None
        self.place: CallSite | None = None
        self.position: Position = ()
        self.child: CallSite | None = None
        self.cleanup: dict[Position, int] = {}
        self.second_place: CallSite | None = None
        self.raised_cancelled = False

    @property
    def reached(self) -> bool:
        """Whether the run came to its target."""
        return self.count >= self._target

    def waits_at(self) -> CallSite | None:
        """Return the line where the coroutine waits now."""
        return None if self._probe is None else line_of(self._probe.coro)

    def start(self, make_coroutine: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        """Start the run as a task of the running loop.

        Raises:
            TypeError: what was made cannot be awaited.
        """
        context = copy_context()
        context.run(_RUN.set, self)
        made = context.run(make_coroutine)
        self._probe = _Main(_coroutine(made), self)
        self.task = asyncio.get_running_loop().create_task(self._probe, context=context)
        return self.task

    def on_suspension(self, probe: Probe, awaited: object) -> None:
        """Cancel the task if this suspension, the target's or a later one, is one to cancel at; otherwise note it."""
        task = self.task
        if task is None or task.done():
            return
        number = self.count - int(self._target)
        if number == 0:
            self.place, self.position = self.waits_at(), position_of(probe.coro)
            if probe is not self._probe:
                self.child = line_of(probe.coro)
            add_callback = getattr(awaited, "add_done_callback", None)
            if self._late and add_callback is not None and probe is self._probe:
                # It is called before the task is woken up, for the task has not even begun to wait.
                add_callback(lambda _: task.cancel())
                return
            task.cancel()
        elif not probe.cleaning:
            return
        elif self._again is None:
            self.cleanup.setdefault(position_of(probe.coro), number)
        elif number == self._again:
            self.second_place = line_of(probe.coro)
            task.cancel()


class Probe(Coroutine[Any, Any, Any]):
    """Passes everything on to a coroutine, and counts how often it suspends.

    Attributes:
        coro: the coroutine.
        cleaning: whether an exception was thrown into it at the target or later.
    """

    __slots__ = ("_run", "cleaning", "coro")

    def __init__(self, coro: Any, run: ProbedRun) -> None:
        self.coro = coro
        self.cleaning = False
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self.coro, name)  # cr_frame and the like, for whoever looks into the task

    def send(self, value: Any) -> Any:
        """Resume the coroutine up to its next suspension."""
        awaited = self.coro.send(value)
        run = self._run
        run.count += 1
        if run.count >= run.limit:
            run.on_suspension(self, awaited)
        return awaited

    def throw(self, *error: Any) -> Any:
        """Resume the coroutine with an exception."""
        run = self._run
        self.cleaning = run.reached
        awaited = self.coro.throw(*error)
        run.count += 1
        if run.count >= run.limit:
            run.on_suspension(self, awaited)
        return awaited

    def close(self) -> None:
        """Close the coroutine."""
        self.coro.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self.coro.__await__()  # type: ignore[no-any-return] # as the coroutine's own


class _Main(Probe):
    """The probe of the coroutine under test itself; an eager task runs it before anybody else has seen the task."""

    __slots__ = ()

    def send(self, value: Any) -> Any:
        if self._run.task is None:
            self._run.task = asyncio.current_task()
        return super().send(value)


_RUN: ContextVar[ProbedRun | None] = ContextVar("pytest_mockstream_sweep", default=None)


class _Task(asyncio.Task[Any]):
    """A task that keeps its name: CPython 3.13.0 calls every task of a factory that was given none ``"None"``."""

    def set_name(self, value: object, /) -> None:
        if value is not None:
            super().set_name(value)


@contextmanager
def probing_tasks() -> Iterator[None]:
    """Put a probe on every task that a run starts, and make each job that a thread does suspend its caller.

    From CPython 3.14 on, the result of a quick job is there at once, without a suspension, if an idle thread takes it;
    a thread that has to be started is slower. The number of points would depend on which of the two it was.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        run = _RUN.get() if options.get("context") is None else options["context"].get(_RUN)
        if run is not None and not isinstance(coro, Probe):
            coro = Probe(_coroutine(coro), run)
        return _Task(coro, loop=loop, **options) if before is None else before(loop, coro, **options)

    loop.set_task_factory(factory)
    try:
        with _turn_for_each_job(loop):
            yield
    finally:
        loop.set_task_factory(before)


@contextmanager
def _turn_for_each_job(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    run_in_executor = loop.run_in_executor

    def run_with_a_turn(*args: Any) -> asyncio.Future[Any]:
        future = run_in_executor(*args)
        if not future.done():
            return future
        later = loop.create_future()
        loop.call_soon(_copy_outcome, future, later)
        return later

    attributes: dict[str, Any] = getattr(loop, "__dict__", {})  # without one, the loop runs jobs as it does
    before = attributes.get("run_in_executor")
    attributes["run_in_executor"] = run_with_a_turn
    try:
        yield
    finally:
        attributes.pop("run_in_executor")
        if before is not None:
            attributes["run_in_executor"] = before


def _copy_outcome(done: asyncio.Future[Any], later: asyncio.Future[Any]) -> None:
    if later.cancelled():
        return
    if done.cancelled():
        later.cancel()
    elif (error := done.exception()) is not None:
        later.set_exception(error)
    else:
        later.set_result(done.result())


def _coroutine(made: Any) -> Any:
    """Return a coroutine, or an object with its methods, for what a function returned.

    Raises:
        TypeError: it cannot be awaited, or has begun to run already.
    """
    if inspect.iscoroutine(made) and inspect.getcoroutinestate(made) != inspect.CORO_CREATED:
        msg = (
            f"make_coroutine() returned a coroutine of {made.__qualname__} that has run already: make one in each call"
        )
        raise TypeError(msg)
    if hasattr(made, "send") and hasattr(made, "throw"):
        return made
    if not hasattr(made, "__await__"):
        msg = f"make_coroutine() returned {made!r}, which cannot be awaited: give a function that calls the async one"
        raise TypeError(msg)

    async def wait() -> Any:
        return await made

    return wait()
