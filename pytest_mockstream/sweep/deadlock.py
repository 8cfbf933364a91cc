"""Whether anything can still happen in an asyncio loop, and who waits for what if not.

It reads the frames of suspended tasks and the loop's own lists, changes nothing, and says only what is certain. The
loop's private lists are those of CPython 3.11 to 3.15; a loop without them (uvloop's) is never said to be deadlocked,
nor is one that waits by other means than a standard selector: those of GUIs call what they like while they wait.
"""

from __future__ import annotations

import asyncio
import asyncio.locks
import asyncio.queues
import selectors
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any, TypeAlias

from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.errors import DeadlockError
from pytest_mockstream._base.loops import asyncio_loop, clock_of, running_loop
from pytest_mockstream.leaks import frames_of

from .positions import line_of
from .problem import Problem
from .signals_at_work import signals_may_act
from .threads_at_work import threads_may_act
from .waits import Kind, Wait, deadlock_of, deadlocked, is_for_stream, is_read_here, waiting_frames

Task: TypeAlias = "asyncio.Task[Any]"

DEADLOCKED = (
    "Nothing is left that could wake anybody: no stream, timer, thread or socket. See to it that what is waited for"
    " comes in every case, or bound the wait with asyncio.timeout()."
)
_AUTOMATIC = "Task-"

_FILLS = Kind("for the queue", "fills", frozenset({"put", "put_nowait"}))
_KINDS: dict[CodeType, Kind] = {
    asyncio.locks.Lock.acquire.__code__: Kind("for the lock"),
    asyncio.locks.Semaphore.acquire.__code__: Kind("for the semaphore"),
    asyncio.locks.Event.wait.__code__: Kind("for the event", "sets", frozenset({"set"})),
    asyncio.locks.Condition.wait.__code__: Kind("for the condition", "notifies", frozenset({"notify", "notify_all"})),
    asyncio.locks.Barrier.wait.__code__: Kind("for the barrier", "waits at", frozenset({"wait"})),
    asyncio.queues.Queue.get.__code__: _FILLS,
    asyncio.queues.Queue.put.__code__: Kind("for room in the queue", "empties", frozenset({"get", "get_nowait"})),
    asyncio.queues.Queue.join.__code__: Kind("for the items of the queue", "counts off", frozenset({"task_done"})),
}
_GROUP = asyncio.TaskGroup.__aexit__.__code__


def deadlock_here() -> Problem | None:
    """Return who waits for what if nothing can happen any more in the running loop, but for the running task."""
    loop = asyncio_loop(running_loop())
    if loop is None or not _is_idle(loop) or signals_may_act() or threads_may_act():
        return None
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    # Once more: a thread that has ended since may have left something to do.
    return deadlock(tasks) if _is_idle(loop) and is_certain(tasks) else None


def _is_idle(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether a loop has nothing to do, now or later, and listens to nothing but its own wake-up."""
    lists: Any = loop
    ready, scheduled = getattr(lists, "_ready", None), getattr(lists, "_scheduled", None)
    selector = _selector_of(loop)
    if ready is None or scheduled is None or selector is None or getattr(lists, "_signal_handlers", None):
        return False
    return len(selector.get_map()) <= 1 and all(handle.cancelled() for part in (ready, scheduled) for handle in part)


def _selector_of(loop: Any) -> Any:
    """Return the selector by which a loop waits, if it is one of the standard library's or of this package."""
    selector = getattr(loop, "_selector", None)
    module = type(selector).__module__
    return selector if module == selectors.__name__ or module.startswith(f"{__package__}.") else None


def is_certain(tasks: Collection[Task]) -> bool:
    """Tell whether all tasks wait for what only one of them could do."""
    return bool(tasks) and all(_wait_of(task).is_known for task in tasks)


@contextmanager
def deadlocks_raised() -> Iterator[None]:
    """Raise ``DeadlockError`` out of the running loop if it has a clock of its own and nothing can happen in it.

    In real time that is nobody's business but the test's own time-out's, and a loop without a selector is left alone.
    """
    loop: Any = asyncio.get_running_loop()
    selector = _selector_of(loop)
    if selector is None or clock_of(loop) is monotonic:
        yield
        return
    select = selector.select
    raised = False

    def select_or_raise(timeout: float | None = None) -> Any:
        nonlocal raised
        __tracebackhide__ = True
        if timeout is not None or raised:
            return select(timeout)
        ready = select(0)
        if not ready and not loop._ready and (problem := deadlock_here()) is not None:
            raised = True
            raise DeadlockError(f"{problem}\n  {problem.hint}")
        return ready or select(timeout)

    attributes = vars(selector)
    before = attributes.get("select")
    attributes["select"] = select_or_raise
    try:
        yield
    finally:
        if before is None:
            attributes.pop("select", None)
        else:
            attributes["select"] = before


def deadlock(tasks: Iterable[Task]) -> Problem:
    """Return that tasks wait for one another, or for what nobody will do."""
    return deadlocked([_wait_of(task) for task in tasks], DEADLOCKED)


def signature_of(tasks: Iterable[Task]) -> Problem:
    """Do as ``deadlock`` in little time, only to tell one from another."""
    return deadlock_of([str(line_of(task.get_coro())) for task in tasks])


def name_of(task: Task) -> str:
    """Return the name of a task; of one that has none of its own, that of its coroutine."""
    name = task.get_name()
    return (
        f"the task of {getattr(task.get_coro(), '__qualname__', name)}" if name.startswith(_AUTOMATIC) else repr(name)
    )


def _wait_of(task: Task) -> Wait:
    coroutine = task.get_coro()
    frames = [*frames_of(coroutine)]
    name, site = name_of(task), line_of(coroutine)
    for frame in waiting_frames(frames):
        code = frame.f_code
        if (kind := _KINDS.get(code)) is not None:
            return Wait(task, name, coroutine, site, kind, frame.f_locals.get("self"))
        if is_for_stream(frame):
            return Wait(task, name, coroutine, site, is_stream=is_read_here(frame))
    return Wait(task, name, coroutine, site, tasks=tuple(map(name_of, _awaited(task, frames))))


def _awaited(task: Task, frames: list[FrameType]) -> list[Task]:
    """Return the tasks that a task waits for: in a group, in ``gather``, or one; none if it waits for others, too."""
    if (leaving := next((frame for frame in frames[::-1] if frame.f_code is _GROUP), None)) is not None:
        group: Any = leaving.f_locals.get("self")
        return [child for child in getattr(group, "_tasks", ()) if not child.done()]
    awaited = [future for future in _leaves(getattr(task, "_fut_waiter", None)) if not future.done()]
    return awaited if all(isinstance(future, asyncio.Task) for future in awaited) else []


def _leaves(future: Any) -> Iterator[Any]:
    """Yield a future, or those that a ``gather`` waits for."""
    if children := getattr(future, "_children", None):
        for child in children:
            yield from _leaves(child)
    elif future is not None:
        yield future
