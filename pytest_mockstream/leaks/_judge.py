"""The verdict: candidates are what is alive, the owner decides who is blamed, and what ends in time is let go.

The wall: brings the parts together for one scope; knows no pytest.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from . import _internals
from ._births import BIRTHS, Birth, TaskBirth, birth_of
from ._contain import end_tasks
from ._owner import IMPORT
from ._rules import TASK_RULES, THREAD_RULES, SeenThread, exception_for, is_idle_worker
from ._scope import Scope, live_threads
from ._settle import Deadline, Task, settle_tasks, settle_threads, watch
from ._suspects import raw_thread_leak, seen, task_leak, thread_leak
from ._values import Leak

SWALLOWED = "It swallowed its cancellation."
SWALLOWED_REMEDY = "Do not catch CancelledError without raising it again."


def task_suspects(scope: Scope, births: Iterable[TaskBirth]) -> list[tuple[TaskBirth, Task, str]]:
    """Return the births that the scope would be blamed for, with their tasks and the label of the owner."""
    found = []
    for birth in births:
        task, label = birth(), scope.blame(birth.owner)
        if task is None or label is None or birth.reported or exception_for(TASK_RULES, birth) is not None:
            continue
        if not scope.ignored(task_leak(birth, task, label)):
            found.append((birth, task, label))
    return found


def convict_tasks(scope: Scope, suspects: list[tuple[TaskBirth, Task, str]]) -> None:
    """Call what is still pending a leak, and end it."""
    left = [(birth, task, label) for birth, task, label in suspects if not task.done()]
    if not left:
        return
    scope.count()
    leaks = {task: task_leak(birth, task, label) for birth, task, label in left}
    for birth, _, _ in left:
        birth.reported = True
    for task in end_tasks(leaks):
        leaks[task] = replace(leaks[task], diagnosis=SWALLOWED, remedy=SWALLOWED_REMEDY)
    scope.leaks += leaks.values()
    for birth, task, _ in left:
        if not task.done():
            BIRTHS.tasks.pop(birth.serial, None)


def judge_tasks(scope: Scope, births: Iterable[TaskBirth], deadline: Deadline) -> None:
    """Wait for the tasks of a scope, and convict those that do not end."""
    if suspects := task_suspects(scope, births):
        settle_tasks([task for _, task, _ in suspects], deadline)
        convict_tasks(scope, suspects)


def judge_closing_loop(scope: Scope, loop: asyncio.AbstractEventLoop, since: int, deadline: Deadline) -> None:
    """Judge what a loop that is about to be closed still has to do."""
    judge_tasks(scope, [birth for birth in BIRTHS.pending_since(since) if _loop_of(birth) is loop], deadline)
    pool = _internals.default_pool(loop)
    if pool is None or not _busy(pool):
        return
    watch(lambda: not _busy(pool), deadline)
    if busy := [found for found in _busy(pool) if not scope.ignored(thread_leak(found, scope.owner.label))]:
        scope.count()
        _convict_threads(scope, [(found, scope.owner.label) for found in busy])
        _internals.release_pool(loop, pool)


def _loop_of(birth: TaskBirth) -> asyncio.AbstractEventLoop | None:
    task = birth()
    return None if task is None else task.get_loop()


def _busy(pool: Any) -> list[SeenThread]:
    frames = _internals.frames()
    return [
        found for worker in _internals.workers(pool) if (found := seen(worker, frames)).stops and not is_idle_worker(found)
    ]


# Threads.


def judge_threads(scope: Scope, deadline: Deadline) -> None:
    """Wait for the threads of a scope, and convict those that do not end."""
    if BIRTHS.threads_started == scope.started and scope.idents.issuperset(_internals.frames()):
        return
    suspects = _thread_suspects(scope)
    raw = _raw_suspects(scope)
    if not suspects and not raw:
        return
    settle_threads([found.thread for found, _ in suspects], deadline)
    watch(lambda: not _alive(raw), deadline)
    if any(found.thread.is_alive() for found, _ in suspects):
        gc.collect()  # a pool that only a cycle keeps alive ends its workers now
        settle_threads([found.thread for found, _ in suspects], Deadline(_AFTER_COLLECTION))
    left = _thread_suspects(scope)
    raw = _alive(raw)
    if left or raw:
        scope.count()
        _convict_threads(scope, left)
        frames = _internals.frames()
        leaks = [raw_thread_leak(ident, frames.get(ident), birth, label) for ident, birth, label in raw]
        scope.leaks += [leak for leak in leaks if not scope.ignored(leak)]


_AFTER_COLLECTION = 0.02


def _convict_threads(scope: Scope, convicts: list[tuple[SeenThread, str]]) -> None:
    for found, label in convicts:
        scope.leaks.append(thread_leak(found, label))
        if (birth := birth_of(found.thread)) is not None:
            birth.reported = True


def _thread_suspects(scope: Scope) -> list[tuple[SeenThread, str]]:
    frames = _internals.frames()
    suspects = []
    for thread in live_threads():
        birth = birth_of(thread)
        if (thread.ident in scope.idents and birth is None) or (birth and birth.serial < scope.mark):
            continue
        if birth and birth.owner is IMPORT and not birth.reported:
            scope.lasting.append(thread_leak(seen(thread, frames), "import"))
            birth.reported = True
        label = scope.blame(birth.owner if birth else None)
        if label is None or (birth and birth.reported):
            continue
        found = seen(thread, frames)
        if exception_for(THREAD_RULES, found) is None and not scope.ignored(thread_leak(found, label)):
            suspects.append((found, label))
    return suspects


def _raw_suspects(scope: Scope) -> list[tuple[int, Birth | None, str]]:
    known = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    known.add(threading.get_ident())
    found = []
    for ident in _internals.frames():
        if ident in scope.idents or ident in known:
            continue
        birth = BIRTHS.raw.get(ident)
        label = scope.blame(birth.owner if birth else None)
        if label is not None:
            found.append((ident, birth, label))
    return found


def _alive(raw: list[tuple[int, Birth | None, str]]) -> list[tuple[int, Birth | None, str]]:
    alive = _internals.frames()
    return [suspect for suspect in raw if suspect[0] in alive]
