"""Counts the places where a coroutine waits, and cancels it at one of them.

The wall: delivers; what came of it is judged elsewhere.

Theory of operation: a ``Probe`` stands between a task and its coroutine and passes everything on. Each time that the
coroutine gives up control is one suspension point, and so is each time that a task does which it started, for a
coroutine that waits for its children stands still while they go on. At the chosen point the probe calls ``cancel()``
of the real task, in the very step that suspends it: so the awaited future itself is cancelled, ``asyncio.timeout``,
``TaskGroup`` and ``shield`` see what they would see of any cancellation, and no other callback of the loop comes
between. Children are found by their context: a ``ContextVar`` says which run they belong to.
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

from .places import Chain, chain_of, place_of

_NEVER = inf


class Drive:
    """One run of the coroutine under test.

    Args:
        target: the number of the suspension at which it is cancelled, from 1; None for a plain run.
        again: cancel it once more, at this suspension after the first cancellation, from 1.
        late: cancel only when what is awaited there has come, just before the coroutine gets to see it.

    Attributes:
        count: how many suspensions there were.
        place: where it was cancelled.
        chain: the same, to tell places apart.
        child: the line of the child task whose suspension it was, where it was not the coroutine's own.
        cleanup: the places of the suspensions that followed, each with its number.
        again_place: where it was cancelled once more.
        came_out: whether the cancellation came out of it.
    """

    __slots__ = (
        "_again",
        "_late",
        "_probe",
        "_target",
        "again_place",
        "came_out",
        "chain",
        "child",
        "cleanup",
        "count",
        "limit",
        "place",
        "task",
    )

    def __init__(self, target: int | None = None, *, again: int | None = None, late: bool = False) -> None:
        self.count = 0
        self.limit: float = _NEVER if target is None else target
        self._target = self.limit
        self._again = again
        self._late = late
        self._probe: Probe | None = None
        self.task: asyncio.Task[Any] | None = None
        self.place: CallSite | None = None
        self.chain: Chain = ()
        self.child: CallSite | None = None
        self.cleanup: dict[Chain, int] = {}
        self.again_place: CallSite | None = None
        self.came_out = False

    @property
    def reached(self) -> bool:
        """Whether the point was come by."""
        return self.count >= self._target

    def waits_at(self) -> CallSite | None:
        """Return where the coroutine waits now."""
        return None if self._probe is None else place_of(self._probe.coro)

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

    def come_by(self, probe: Probe, awaited: object) -> None:
        """Be told of a suspension at the point or after it."""
        task = self.task
        if task is None or task.done():
            return
        number = self.count - int(self._target)
        if number == 0:
            self.place, self.chain = self.waits_at(), chain_of(probe.coro)
            if probe is not self._probe:
                self.child = place_of(probe.coro)
            add_callback = getattr(awaited, "add_done_callback", None)
            if self._late and add_callback is not None and probe is self._probe:
                # It is called before the task is woken up, for the task has not even begun to wait.
                add_callback(lambda _: task.cancel())
                return
            task.cancel()
        elif not probe.cleaning:
            return
        elif self._again is None:
            self.cleanup.setdefault(chain_of(probe.coro), number)
        elif number == self._again:
            self.again_place = place_of(probe.coro)
            task.cancel()


class Probe(Coroutine[Any, Any, Any]):
    """Passes everything on to a coroutine, and counts how often it gives up control."""

    __slots__ = ("_drive", "cleaning", "coro")

    def __init__(self, coro: Any, drive: Drive) -> None:
        self.coro = coro
        self.cleaning = False  #: whether an exception was thrown into it at the point or after it
        self._drive = drive

    def __getattr__(self, name: str) -> Any:
        return getattr(self.coro, name)  # cr_frame and the like: whoever looks into the task sees what it runs

    def send(self, value: Any) -> Any:
        """Let the coroutine go on to its next suspension."""
        awaited = self.coro.send(value)
        drive = self._drive
        drive.count += 1
        if drive.count >= drive.limit:
            drive.come_by(self, awaited)
        return awaited

    def throw(self, *error: Any) -> Any:
        """Let the coroutine go on with an exception."""
        drive = self._drive
        self.cleaning = drive.reached
        awaited = self.coro.throw(*error)
        drive.count += 1
        if drive.count >= drive.limit:
            drive.come_by(self, awaited)
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
        if self._drive.task is None:
            self._drive.task = asyncio.current_task()
        return super().send(value)


_RUN: ContextVar[Drive | None] = ContextVar("pytest_mockstream_sweep", default=None)


class _Task(asyncio.Task[Any]):
    """A task that keeps its name: CPython 3.13.0 calls every task of a factory that was given none ``"None"``."""

    def set_name(self, value: object, /) -> None:
        if value is not None:
            super().set_name(value)


@contextmanager
def children_probed() -> Iterator[None]:
    """Let the running loop put a probe on every task that is started within a run.

    And let it take a turn for each job that a thread does. From CPython 3.14 on the result of one that is quick is
    there at once: a race that a thread which has to be started first loses more often, and with it a run loses a point.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()

    def factory(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> Any:
        drive = _RUN.get() if options.get("context") is None else options["context"].get(_RUN)
        if drive is not None and not isinstance(coro, Probe):
            coro = Probe(_coroutine(coro), drive)
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
        loop.call_soon(_hand_over, future, later)
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


def _hand_over(done: asyncio.Future[Any], later: asyncio.Future[Any]) -> None:
    if later.cancelled():
        return
    if done.cancelled():
        later.cancel()
    elif (error := done.exception()) is not None:
        later.set_exception(error)
    else:
        later.set_result(done.result())


def _coroutine(made: Any) -> Any:
    """Return what can be driven.

    Raises:
        TypeError: it cannot, or has begun to run already.
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
