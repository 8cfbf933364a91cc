"""Runs the code under test as a task of an asyncio loop, with a probe on every task that it starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import copy_context
from typing import Any

from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream.leaks import is_in_finaliser

from .deadlock import deadlock_here
from .probe import RUN, Probe, ProbedRun, R, Sweep, coroutine_of
from .problem import SWALLOWED, Problem


async def on_asyncio(sweep: Sweep[R]) -> R:
    """Do the runs of a sweep in the running asyncio loop."""
    with _probing_tasks():
        return await sweep(_Jobs())


class _Jobs:
    """Starts runs; see ``probe.Jobs``."""

    swallowed = SWALLOWED

    def start(self, run: ProbedRun, make_coroutine: Callable[[], Awaitable[Any]]) -> _Job:
        context = copy_context()
        context.run(RUN.set, run)
        made = context.run(make_coroutine)
        run.job = job = _Job()
        run.probe = _Main(coroutine_of(made), run, job)
        job.started(asyncio.get_running_loop().create_task(run.probe, context=context))
        return job


class _Job:
    """A run that is a task; see ``probe.Job``.

    It lets its task go when that has ended: the leak check keeps the coroutine of each task that there is, and the
    coroutine has this.
    """

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.finished = Notifier()
        self._is_done = False
        self._error: BaseException | None = None
        self._returned: object = None

    def started(self, task: asyncio.Task[Any]) -> None:
        self.task = task
        task.add_done_callback(lambda _: self._end())

    def _end(self) -> None:
        if (task := self.task) is not None and task.done():
            self._is_done, self.task = True, None
            self._error = asyncio.CancelledError() if task.cancelled() else task.exception()
            self._returned = None if self._error is not None else task.result()
            self.finished.notify()

    def done(self) -> bool:
        self._end()
        return self._is_done

    def cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def cancel_late(self, awaited: object) -> bool:
        add_callback = getattr(awaited, "add_done_callback", None)
        if add_callback is None:
            return False
        # It is called before the task is woken up, for the task has not even begun to wait.
        add_callback(lambda _: self.cancel())
        return True

    def watched(self) -> AbstractContextManager[None]:
        return nullcontext()  # the plugin looks, at any test

    async def deadlock(self) -> Problem | None:
        return deadlock_here()

    def error(self) -> BaseException | None:
        return self._error if self.done() else None

    def result(self) -> Any:
        if (error := self.error()) is not None:
            raise error
        return self._returned

    def was_cancelled(self) -> bool:
        return isinstance(self.error(), asyncio.CancelledError)

    def saw_cancellation(self) -> bool:
        return True


class _Main(Probe):
    """The probe of the coroutine under test itself; an eager task runs it before anybody else has seen the task."""

    __slots__ = ("_job",)

    def __init__(self, coro: Any, run: ProbedRun, job: _Job) -> None:
        super().__init__(coro, run)
        self._job = job

    def send(self, value: Any) -> Any:
        if self._job.task is None:
            self._job.task = asyncio.current_task()
        return super().send(value)


class _Task(asyncio.Task[Any]):
    """A task that keeps its name: CPython 3.13.0 calls every task of a factory that was given none ``"None"``."""

    def set_name(self, value: object, /) -> None:
        if value is not None:
            super().set_name(value)


def _make_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> _Task:
    return _Task(coro, loop=loop, **options)


@contextmanager
def _probing_tasks() -> Iterator[None]:
    """Put a probe on every task that a run starts, and make each job that a thread does suspend its caller.

    What the finaliser of an object starts is no part of the run, although it has its context: the garbage collector
    comes in any run, and the object may be that of an earlier test, such as a client that closes itself.

    From CPython 3.14 on, the result of a quick job is there at once, without a suspension, if an idle thread takes it;
    a thread that has to be started is slower. The number of points would depend on which of the two it was.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        run = RUN.get() if options.get("context") is None else options["context"].get(RUN)
        make: Any = _make_task if before is None else before
        if run is not None and not isinstance(coro, Probe):
            if is_in_finaliser():
                apart = copy_context()
                apart.run(RUN.set, None)
                return apart.run(make, loop, coro, **options)
            coro = Probe(coroutine_of(coro), run)
        return make(loop, coro, **options)

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
        loop.call_soon(copy_outcome, future, later)
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


def copy_outcome(done: asyncio.Future[Any], later: asyncio.Future[Any]) -> None:
    """Give one future the outcome of another one."""
    if later.cancelled():
        return
    if done.cancelled():
        later.cancel()
    elif (error := done.exception()) is not None:
        later.set_exception(error)
    else:
        later.set_result(done.result())
