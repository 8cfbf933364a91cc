"""Whether anything can still happen in a run of trio, and who waits for what if not.

It asks trio what it tells everybody, reads the frames of suspended tasks, changes nothing, and says only what is
certain. trio is used where the code under test has loaded it; nothing here imports it.

Theory of operation: only between two turns of the loop does trio know all that is due. Within a turn, a task that was
woken and has not had its step yet is counted nowhere, and still looks as if it waited. So an instrument looks, just
before the loop waits for I/O, and in two turns: what others do when nothing happens (another instrument's
``after_io_wait``) has been done by the second. An instrument cannot raise; it wakes whoever is to act on what it saw.

A wait for I/O, or for whatever else may come from outside, is none of those that are known. One task always has such a
wait: the loop's own, which ``run_sync_soon`` wakes. Where no other has, nobody but a task, a thread or a signal handler
can wake anybody.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from contextvars import ContextVar
from types import CodeType, FrameType
from typing import Any, Self, TypeVar

from pytest_mockstream._base.callsite import is_library, package_of
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.errors import DeadlockError
from pytest_mockstream._base.loops import clock_of, running_loop, trio_here
from pytest_mockstream.leaks import frames_of

from .positions import line_of
from .problem import Problem
from .signals_at_work import signals_may_act
from .threads_at_work import threads_may_act
from .waits import Kind, Wait, deadlocked, is_for_stream, is_read_here, waiting_frames

T = TypeVar("T")

DEADLOCKED_ON_TRIO = (
    "Nothing is left that could wake anybody: no stream, timer, thread or socket. See to it that what is waited for"
    " comes in every case, or bound the wait with trio.fail_after()."
)
_SOON = 1.0  # seconds; trio looks for I/O no longer at a time where its clock jumps soon
_NURSERY = Kind("for the tasks of a nursery")
_TRIO = frozenset({"trio", "outcome"})  # whose functions run its loop
_OWN = ("<", "mockstream ")  # how the names begin that trio, pytest-trio and this package give
_ANYIO_RUNNER = "_call_in_runner_task"  # of anyio's plugin; it drives a guest run, and does nothing else meanwhile


async def or_deadlock_on_trio(function: Callable[[], Awaitable[T]]) -> T:
    """Await what a function returns, and return the result, unless nothing can happen any more while it runs.

    Then it is cancelled, what is shielded in it, too. In real time that is nobody's business but the test's own
    time-out's; and what does not run on trio is let be.

    Raises:
        DeadlockError: nothing could happen any more, whatever came of it then.
    """
    __tracebackhide__ = True
    trio = trio_here()
    if trio is None or clock_of(running_loop()) is monotonic:
        return await function()
    task = trio.lowlevel.current_task()
    scope = trio.CancelScope()

    def end() -> None:
        if not scope.cancel_called:
            scope.cancel()
            return
        for one in _with_children(task):
            for inner in scopes_of(one, scope):
                inner.shield = False

    watch = Watch(trio, end, with_task=True)
    other: BaseException | None = None
    try:
        with watch, scope:
            returned = await function()
    except BaseException as error:
        if watch.problem is None:
            raise
        other = error
    if watch.problem is not None:
        raise DeadlockError(f"{watch.problem}\n  {watch.problem.hint}") from other
    return returned


async def deadlock_here() -> Problem | None:
    """Return who waits for what if nothing can happen any more in the running loop, but for the running task."""
    trio: Any = sys.modules["trio"]
    seen = trio.Event()
    with Watch(trio, seen.set, once=True) as watch:
        await seen.wait()
    return watch.problem


#: The watch that the running task is in.
_AROUND: ContextVar[Watch | None] = ContextVar("pytest_mockstream_deadlocks", default=None)


class Watch:
    """Looks at a run of trio from within, until it is left. It need not inherit from ``trio.abc.Instrument``.

    Told are the tasks below the one that enters it, and those that run code of the user's.

    Args:
        trio: the module.
        then: called, in the loop, when nothing can happen any more, and again if that has not changed anything.
        with_task: tell of the entering task, too.
        once: call ``then`` as soon as it is known, even if something can happen.

    Attributes:
        problem: who waits for what, once nothing can happen any more.
    """

    def __init__(self, trio: Any, then: Callable[[], None], *, with_task: bool = False, once: bool = False) -> None:
        self.problem: Problem | None = None
        self._trio = trio
        self._task = trio.lowlevel.current_task()
        self._then = then
        self._with_task = with_task
        self._once = once
        self._last: Problem | None = None
        self._inner = 0
        self._around: Watch | None = None
        self._wake = trio.lowlevel.current_trio_token().run_sync_soon

    def __enter__(self) -> Self:
        self._around = _AROUND.get()
        if self._around is not None:
            self._around._inner += 1
        _AROUND.set(self)
        self._trio.lowlevel.add_instrument(self)
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(KeyError):  # trio has removed it, for it failed
            self._trio.lowlevel.remove_instrument(self)
        if self._around is not None:
            self._around._inner -= 1
        _AROUND.set(self._around)

    def before_io_wait(self, timeout: float) -> None:
        """Look; trio calls it when it has run all tasks that were ready."""
        if self._inner:  # whoever is further inside knows better what to do
            return
        problem = None
        try:
            problem = _deadlock(self._trio, self._task, with_task=self._with_task)
        finally:
            if problem is None and self._once:
                self._wake(self._then)
        if problem is not None and problem != self._last:
            self._last = problem
            if timeout > _SOON:
                self._wake(_nothing)
        elif problem is not None:
            self._last = None
            self.problem = problem
            self._wake(self._then)


def _nothing() -> None:
    pass


def scopes_of(task: Any, outermost: Any) -> Iterator[Any]:
    """Yield the cancel scopes that a task is in, from the innermost to the one below an outer one.

    The names are private, checked against trio 0.30 to 0.35. Without them there are no scopes, and no shields.
    """
    status = getattr(task, "_cancel_status", None)
    while (scope := getattr(status, "_scope", None)) is not None and scope is not outermost:
        yield scope
        status = getattr(status, "_parent", None)


def _deadlock(trio: Any, looking: Any, *, with_task: bool) -> Problem | None:
    # Threads first: what one of them has left to be called before it ended is then in the statistics.
    if not _has_nothing_to_do(trio.lowlevel.current_statistics()) or _something_may_act(trio):
        return None
    statistics = trio.lowlevel.current_statistics()
    tasks = [*_with_children(trio.lowlevel.current_root_task())]
    if not _has_nothing_to_do(statistics) or len(tasks) != statistics.tasks_living:
        return None
    kinds = _kinds(trio)
    waits = [_wait_of(task, kinds) for task in tasks]
    if sum(not wait.is_known for wait in waits) != 1:  # the loop's own
        return None
    below = {*_with_children(looking)}
    if not with_task:
        below.discard(looking)
    return deadlocked([wait for wait in waits if _is_told(wait, looking, below)], DEADLOCKED_ON_TRIO)


def _has_nothing_to_do(statistics: Any) -> bool:
    """Tell whether a run has nothing to do, now or later, unless something comes from outside."""
    if statistics.tasks_runnable or statistics.run_sync_soon_queue_size:
        return False
    return bool(statistics.seconds_to_next_deadline == math.inf)


def _something_may_act(trio: Any) -> bool:
    return signals_may_act() or threads_may_act() or not _is_on_its_own(trio)


def _is_on_its_own(trio: Any) -> bool:
    """Tell whether what drives the loop does nothing else: ``trio.run`` or anyio's plugin, but no host of a guest."""
    run = inspect.unwrap(trio.run).__code__
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code.co_filename != run.co_filename:
        frame = frame.f_back
    while frame is not None and package_of(frame.f_code.co_filename) in _TRIO:
        if frame.f_code is run:
            return True
        frame = frame.f_back
    if frame is None:
        return False
    return frame.f_code.co_name == _ANYIO_RUNNER and package_of(frame.f_code.co_filename) == "anyio"


def _with_children(task: Any) -> Iterator[Any]:
    """Yield a task and all tasks below it."""
    left = [task]
    while left:
        yield (one := left.pop())
        left += [child for nursery in one.child_nurseries for child in nursery.child_tasks]


def _is_told(wait: Wait, looking: Any, below: set[Any]) -> bool:
    if wait.task in below:
        return True
    if wait.task is looking:
        return False
    return any(not is_library(frame.f_code.co_filename) for frame in frames_of(wait.coroutine))


def _kinds(trio: Any) -> dict[CodeType, Kind]:
    sends = frozenset({"send", "send_nowait"})
    receives = frozenset({"receive", "receive_nowait"})
    kinds: list[tuple[Any, Kind]] = [
        (trio.Lock.acquire, Kind("for the lock")),
        (trio.Semaphore.acquire, Kind("for the semaphore")),
        (trio.CapacityLimiter.acquire_on_behalf_of, Kind("for the limiter")),
        (trio.Event.wait, Kind("for the event", "sets", frozenset({"set"}))),
        (trio.Condition.wait, Kind("for the condition", "notifies", frozenset({"notify", "notify_all"}))),
        (trio.MemoryReceiveChannel.receive, Kind("for the channel", "fills", sends)),
        (trio.MemorySendChannel.send, Kind("for room in the channel", "empties", receives)),
        (trio.lowlevel.ParkingLot.park, Kind("in the parking lot", "unparks", frozenset({"unpark", "unpark_all"}))),
        (type(trio.open_nursery()).__aexit__, _NURSERY),
        (trio.sleep_forever, Kind("for ever")),
    ]
    return {inspect.unwrap(function).__code__: kind for function, kind in kinds}


def _wait_of(task: Any, kinds: dict[CodeType, Kind]) -> Wait:
    frames = [*frames_of(task.coro)]
    name, site = name_of(task), line_of(task.coro)
    for frame in waiting_frames(frames):
        kind = kinds.get(frame.f_code)
        if kind is _NURSERY:
            children = task.child_nurseries[-1].child_tasks if task.child_nurseries else ()
            return Wait(task, name, task.coro, site, kind, tasks=tuple(sorted(map(name_of, children))))
        if kind is not None:
            thing = frame.f_locals.get("self")
            if kind.what.endswith("channel"):
                thing = _shared(thing)
            return Wait(task, name, task.coro, site, kind, thing, _owners(thing))
        if is_for_stream(frame):
            return Wait(task, name, task.coro, site, is_stream=is_read_here(frame))
    return Wait(task, name, task.coro, site)


def name_of(task: Any) -> str:
    """Return the name of a task; of one that has none of its own, that of its outermost function of the user's."""
    coroutine = task.coro
    qualname = getattr(coroutine, "__qualname__", task.name)
    if not task.name.startswith(_OWN) and not task.name.endswith(f".{qualname}"):
        return repr(task.name)
    codes = [frame.f_code for frame in frames_of(coroutine)]
    own = next((code for code in codes if not is_library(code.co_filename)), None)
    return f"the task of {qualname if own is None else own.co_qualname}"


def _shared(channel: object) -> object:
    """Return what the two ends of a channel have in common, an object of trio's."""
    return next((one for one in vars(channel).values() if type(one).__module__.startswith("trio.")), None)


def _owners(thing: Any) -> Collection[object] | None:
    statistics = getattr(thing, "statistics", None)
    if statistics is None:
        return None
    told = statistics()
    owner = getattr(told, "owner", None)
    return getattr(told, "borrowers", None) or (None if owner is None else (owner,))
