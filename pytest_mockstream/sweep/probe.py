"""Count the places where a coroutine waits, and cancel it at one of them.

How the run ended is judged elsewhere; how an event loop runs and cancels it is for ``on_asyncio`` and ``on_trio``.

Theory of operation: a ``Probe`` wraps the coroutine of a task and passes everything on. Each time that the coroutine
suspends counts as a point, and so does each suspension of the tasks that it started, for they go on while it waits for
them. At the chosen point the probe cancels the run, in the same step of the loop that suspends it: what is awaited
there is itself cancelled, timeouts, task groups and shields see what they would see of any cancellation, and no other
callback of the loop runs in between. Child tasks are found by their context: ``RUN`` says to which run they belong.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from math import inf
from typing import Any, Protocol, TypeAlias, TypeVar

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.notifier import Notifier

from .positions import Position, line_of, position_of
from .problem import Problem

R = TypeVar("R")


class Job(Protocol):
    """A run of the code under test, as an event loop runs it.

    Attributes:
        finished: is notified when it is done.
    """

    finished: Notifier

    def done(self) -> bool:
        """Tell whether it is done."""

    def cancel(self) -> None:
        """Cancel it. If it was cancelled before and goes on all the same, try what else there is."""

    def cancel_late(self, awaited: object) -> bool:
        """Cancel it when what it awaits has arrived, before it gets to see that; tell whether that can be done."""

    def watched(self) -> AbstractContextManager[None]:
        """Notify ``finished`` as soon as it can never end, in a loop whose clock is its own."""

    async def deadlock(self) -> Problem | None:
        """Return who waits for what, if it can never end."""

    def error(self) -> BaseException | None:
        """Return the exception that ended it; None if it returned or is still running."""

    def result(self) -> Any:
        """Return what it returned, or raise what ended it."""

    def was_cancelled(self) -> bool:
        """Tell whether a cancellation, and nothing else, came out of it."""

    def saw_cancellation(self) -> bool:
        """Tell whether its cancellation was raised in it; one may be due that no checkpoint has raised yet."""


class Jobs(Protocol):
    """Starts runs of the code under test in the running event loop.

    Attributes:
        swallowed: what to do about code that swallows its cancellation.
    """

    swallowed: str

    def start(self, run: ProbedRun, make_coroutine: Callable[[], Awaitable[Any]]) -> Job:
        """Start a run and return its job, which is the run's ``job`` before its first step.

        Raises:
            TypeError: what was made cannot be awaited.
        """


#: Runs that a sweep does with the jobs that it is given.
Sweep: TypeAlias = Callable[[Jobs], Awaitable[R]]


class ProbedRun:
    """One run of the coroutine under test.

    Args:
        target: the number of the suspension at which it is cancelled, from 1; None does not cancel it.
        again: the number of the suspension after the first cancellation at which it is cancelled again, from 1.
        late: cancel only when what is awaited there has arrived, just before the coroutine gets to see it.

    Attributes:
        count: how many suspensions there were.
        limit: the number from which on suspensions are looked at one by one: that of the target, or infinity.
        job: the run as the event loop has it.
        probe: that of the coroutine itself, where those of its child tasks are others.
        tasks: the tasks that it started and that still run, by those that know them: trio's.
        place: the line where it was cancelled.
        position: the same as a value that can be compared.
        child: the line of the child task whose suspension it was, where it was not the coroutine's own.
        cleanup: the positions of the suspensions in the clean-up, each with its number after the target.
        second_place: the line where it was cancelled again.
        raised_cancelled: whether a cancellation came out of it.
    """

    __slots__ = (
        "_again",
        "_late",
        "_target",
        "child",
        "cleanup",
        "count",
        "job",
        "limit",
        "place",
        "position",
        "probe",
        "raised_cancelled",
        "second_place",
        "tasks",
    )

    def __init__(self, target: int | None = None, *, again: int | None = None, late: bool = False) -> None:
        self.count = 0
        self.limit: float = inf if target is None else target
        self._target = self.limit
        self._again = again
        self._late = late
        self.probe: Probe | None = None
        self.job: Job | None = None
        self.tasks: set[Any] = set()
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
        return None if self.probe is None else line_of(self.probe.coro)

    def on_suspension(self, probe: Probe, awaited: object) -> None:
        """Cancel the job if this suspension, the target's or a later one, is one to cancel at; otherwise note it."""
        job = self.job
        if job is None or job.done():
            return
        number = self.count - int(self._target)
        if number == 0:
            self.place, self.position = self.waits_at(), position_of(probe.coro)
            if probe is not self.probe:
                self.child = line_of(probe.coro)
            if not (self._late and probe is self.probe and job.cancel_late(awaited)):
                job.cancel()
        elif not probe.cleaning:
            return
        elif self._again is None:
            self.cleanup.setdefault(position_of(probe.coro), number)
        elif number == self._again:
            self.second_place = line_of(probe.coro)
            job.cancel()


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


#: The run that a task belongs to, in its context.
RUN: ContextVar[ProbedRun | None] = ContextVar("pytest_mockstream_sweep", default=None)


def coroutine_of(made: Any) -> Any:
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
