"""Runs the code under test as a task of trio, in a cancel scope, with a probe on every task that it starts.

Theory of operation: a cancellation of trio lasts. Once the scope of a run is cancelled, every checkpoint of it raises
``Cancelled``, those of its clean-up too, unless they are shielded. So there is no second cancellation to try out in a
clean-up. And where what was cancelled is shielded, or could not be interrupted, and no checkpoint follows, the code
completes without having seen the cancellation: that is right, and nothing was swallowed.

Child tasks are seen by an instrument, which trio tells of every task before its first step. It keeps what still runs
when the run is over: a task that was started in somebody else's nursery.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from typing import Any

from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.loops import clock_of, running_loop
from pytest_mockstream._base.notifier import Notifier

from .deadlock_on_trio import Watch, deadlock_here, scopes_of
from .probe import RUN, Probe, ProbedRun, R, Sweep, coroutine_of
from .problem import SWALLOWED_ON_TRIO, Problem

#: Code that has been cancelled so often goes on for ever: in virtual time, which stands still while tasks run, no limit
#: ends it.
_ENOUGH = 1000


async def on_trio(sweep: Sweep[R]) -> R:
    """Do the runs of a sweep in the running trio loop."""
    trio = sys.modules["trio"]
    instrument = _Instrument()
    trio.lowlevel.add_instrument(instrument)
    try:
        # What is raised inside of a nursery comes out of it in a group.
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            try:
                result = await sweep(_Jobs(trio, nursery))
            except trio.Cancelled:
                raise
            except BaseException as error:  # such as pytest's own, of a first run that fails or skips its test
                failure = error
    finally:
        trio.lowlevel.remove_instrument(instrument)
    if failure is not None:
        raise failure
    return result


class _Jobs:
    """Starts runs; see ``probe.Jobs``."""

    swallowed = SWALLOWED_ON_TRIO

    def __init__(self, trio: Any, nursery: Any) -> None:
        self._trio = trio
        self._nursery = nursery

    def start(self, run: ProbedRun, make_coroutine: Callable[[], Awaitable[Any]]) -> _Job:
        context = copy_context()
        context.run(RUN.set, run)
        made = coroutine_of(context.run(make_coroutine))
        run.job = job = _Job(self._trio, run)
        context.run(self._nursery.start_soon, job.run, made, name="mockstream sweep")
        return job


class _Job:
    """A run in a cancel scope; see ``probe.Job``."""

    def __init__(self, trio: Any, run: ProbedRun) -> None:
        self._trio = trio
        self._run = run
        self._scope = trio.CancelScope()
        self._error: BaseException | None = None
        self._returned: object = None
        self._done = False
        self.late: object = None
        self._seen = 0
        self._watch: Watch | None = None
        self.finished = Notifier()

    async def run(self, made: Awaitable[Any]) -> None:
        """Do the run; only a cancellation that came from outside of its scope comes out of this."""
        try:
            with self._scope:
                try:
                    self._returned = await made
                except BaseException as error:
                    self._error = error
                    if (cancelled := self._split(error)[0]) is not None:
                        raise cancelled from None
        finally:
            self._done = True
            self.finished.notify()

    def _split(self, error: BaseException) -> tuple[BaseException | None, BaseException | None]:
        """Return what of an exception is a cancellation, and what is not."""
        if isinstance(error, BaseExceptionGroup):
            return error.split(self._trio.Cancelled)
        return (error, None) if isinstance(error, self._trio.Cancelled) else (None, error)

    def done(self) -> bool:
        return self._done

    def cancel(self) -> None:
        if self._scope.cancel_called:
            self._force()
        else:
            self._scope.cancel()

    def _force(self) -> None:
        """End what was cancelled and goes on: take its shields away, and close what swallows every ``Cancelled``."""
        for task in self._run.tasks:
            task.coro.abandoned = True
            for scope in scopes_of(task, self._scope):
                if scope.shield:
                    scope.shield = False

    def note_cancellation(self) -> None:
        """Note that ``Cancelled`` is about to be raised in the running task."""
        if not self._scope.cancel_called or any(
            scope.shield for scope in scopes_of(self._trio.lowlevel.current_task(), self._scope)
        ):
            return  # it is that of a scope of its own, such as a timeout
        self._seen += 1
        if self._seen == _ENOUGH:
            self.finished.notify()

    def cancel_late(self, awaited: object) -> bool:
        if type(awaited).__name__ != "WaitTaskRescheduled":  # a mere turn of the loop
            return False
        self.late = self._trio.lowlevel.current_task()
        return True

    @contextmanager
    def watched(self) -> Iterator[None]:
        if clock_of(running_loop()) is monotonic:
            yield
            return
        with Watch(self._trio, self.finished.notify) as self._watch:
            yield

    async def deadlock(self) -> Problem | None:
        if self._watch is not None and self._watch.problem is not None:
            return self._watch.problem
        return await deadlock_here()

    def error(self) -> BaseException | None:
        if self._error is None:
            return None
        cancelled, other = self._split(self._error)
        return cancelled if other is None else other

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._returned

    def was_cancelled(self) -> bool:
        return self._error is not None and self._split(self._error)[1] is None

    def saw_cancellation(self) -> bool:
        return self._seen > 0


class _Probe(Probe):
    """Notes when a cancellation is raised: trio sends a task an outcome, which raises itself there."""

    __slots__ = ("_job", "abandoned")

    def __init__(self, coro: Any, run: ProbedRun, job: _Job) -> None:
        super().__init__(coro, run)
        self.abandoned = False
        self._job = job

    def send(self, value: Any) -> Any:
        if self.abandoned:
            with suppress(RuntimeError):  # it ignores GeneratorExit as well
                self.coro.close()
            raise StopIteration
        if type(getattr(value, "error", None)).__name__ == "Cancelled":
            self._job.note_cancellation()
        return super().send(value)


class _Instrument:
    """Is told by trio of every task; it need not inherit from ``trio.abc.Instrument``."""

    def task_spawned(self, task: Any) -> None:
        run = task.context.get(RUN)
        if run is not None and isinstance(run.job, _Job):
            task.coro = _Probe(task.coro, run, run.job)
            run.tasks.add(task)
            if run.probe is None:
                run.probe = task.coro

    def task_exited(self, task: Any) -> None:
        run = task.context.get(RUN)
        if run is not None:
            run.tasks.discard(task)

    def before_task_step(self, task: Any) -> None:
        run = task.context.get(RUN)
        if run is not None and isinstance(run.job, _Job) and run.job.late is task:
            run.job.late = None
            run.job.cancel()
