"""The verdict: candidates are what is alive, the owner decides who is blamed, and what ends in time is let go.

The wall: brings the parts together for one scope; knows no pytest.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading
import weakref
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeAlias

from . import _internals
from ._births import BIRTHS, Birth, Job, TaskBirth, birth_of
from ._contain import end_tasks, end_tasks_here
from ._owner import IMPORT, OWNER, PLUGIN, Owner
from ._rules import TASK_RULES, THREAD_RULES, SeenThread, exception_for
from ._scope import Scope, live_threads
from ._settle import Deadline, Task, settle_tasks, settle_threads, wait_here, watch
from ._suspects import queued_job_leak, raw_thread_leak, seen, task_leak, thread_leak
from ._values import Leak

Suspect: TypeAlias = tuple[TaskBirth, Task, str]
Blame: TypeAlias = Callable[[Owner | None, int], str | None]
_AFTER_COLLECTION = 0.02
SWALLOWED = "It swallowed its cancellation."
SWALLOWED_REMEDY = "Do not catch CancelledError without raising it again."


def task_suspects(scope: Scope, births: Iterable[TaskBirth], blame: Blame) -> list[Suspect]:
    """Return the births that the scope would be blamed for, with their tasks and the label of the owner."""
    found = []
    for birth in births:
        task, label = birth(), blame(birth.owner, birth.serial)
        if task is None or label is None or birth.reported or exception_for(TASK_RULES, birth) is not None:
            continue
        if not scope.ignored(task_leak(birth, task, label)):
            found.append((birth, task, label))
    return found


def convict_tasks(scope: Scope, suspects: list[Suspect]) -> dict[Task, Leak]:
    """Return what is still pending as leaks."""
    left = [(birth, task, label) for birth, task, label in suspects if not task.done()]
    if left:
        scope.count()
    for birth, _, _ in left:
        birth.reported = True
    return {task: task_leak(birth, task, label) for birth, task, label in left}


def record_tasks(scope: Scope, leaks: dict[Task, Leak], stubborn: Iterable[Task]) -> None:
    """Add leaks to the scope once their tasks were made to end, which some of them may have resisted."""
    for task in stubborn:
        leaks[task] = replace(leaks[task], diagnosis=SWALLOWED, remedy=SWALLOWED_REMEDY)
    scope.leaks += leaks.values()


def await_submitted(scope: Scope, deadline: Deadline) -> None:
    """Wait until the coroutines that were sent to loops in other threads are tasks there."""
    if BIRTHS.submitted:
        watch(lambda: not _on_the_way(scope), deadline)


async def judge_tasks_here(scope: Scope, deadline: Deadline) -> None:
    """Do as ``judge_tasks``, from a coroutine, whose own loop goes on meanwhile."""
    if not (suspects := task_suspects(scope, BIRTHS.pending_since(scope.mark), scope.blame)):
        return
    loop = asyncio.get_running_loop()
    await wait_here([task for _, task, _ in suspects if task.get_loop() is loop], deadline.left)
    settle_tasks([task for _, task, _ in suspects if task.get_loop() is not loop], deadline)
    if leaks := convict_tasks(scope, suspects):
        mine = [task for task in leaks if task.get_loop() is loop]
        stubborn = await end_tasks_here(mine) | end_tasks(task for task in leaks if task.get_loop() is not loop)
        record_tasks(scope, leaks, stubborn)


def judge_tasks(scope: Scope, births: Iterable[TaskBirth], deadline: Deadline, blame: Blame | None = None) -> None:
    """Wait for the tasks of a scope, and convict those that do not end."""
    if suspects := task_suspects(scope, births, blame or scope.blame):
        settle_tasks([task for _, task, _ in suspects], deadline)
        if leaks := convict_tasks(scope, suspects):
            record_tasks(scope, leaks, end_tasks(leaks))


def _on_the_way(scope: Scope) -> bool:
    """Tell whether a coroutine of the scope was sent to another thread's loop, which did not come to it yet."""
    sent = list(BIRTHS.submitted.values())
    here = asyncio._get_running_loop()
    return any(
        submission.birth.serial > scope.mark and submission.loop.is_running() and submission.loop is not here
        for submission in sent
    )


def judge_closing_loop(scope: Scope, loop: asyncio.AbstractEventLoop, since: int, deadline: Deadline) -> None:
    """Judge what a loop that is about to be closed still has to do."""
    judge_tasks(
        scope,
        [birth for birth in BIRTHS.pending_since(since) if _loop_of(birth) is loop],
        deadline,
        scope.blame_at_close,
    )
    pool = _internals.default_pool(loop)
    if pool is None or not BIRTHS.jobs:
        return
    jobs = [job for job in BIRTHS.pending_jobs(0) if job[0].pool() is pool]
    judge_jobs(scope, jobs, deadline)
    if any(job.birth.reported and not future.done() for job, future in jobs):
        _internals.release_pool(loop, pool)  # or the closing would wait for it


def _loop_of(birth: TaskBirth) -> asyncio.AbstractEventLoop | None:
    task = birth()
    return None if task is None else task.get_loop()


# Jobs of pools: a worker that has none does no harm, and which one has which can be told from its frames only.


def judge_jobs(scope: Scope, jobs: list[tuple[Job, Future[Any]]], deadline: Deadline) -> None:
    """Wait for jobs of the scope, and convict those that are not done then."""
    found = [(job, future, label) for job, future in jobs if (label := scope.blame(job.birth.owner, job.birth.serial))]
    found = [suspect for suspect in found if not suspect[0].birth.reported]
    found = [suspect for suspect in found if not scope.ignored(_job_leak(*suspect))]
    if not found:
        return
    concurrent.futures.wait([future for _, future, _ in found], timeout=deadline.left)
    left = [suspect for suspect in found if not suspect[1].done()]
    if left:
        scope.count()
    scope.leaks += [_job_leak(*suspect) for suspect in left]
    for job, future, _ in left:
        job.birth.reported = True
        for worker in _workers(job):
            if (birth := birth_of(worker)) is not None and _internals.runs_job(_frame_of(worker), future):
                birth.reported = True


def _job_leak(job: Job, future: Future[Any], label: str) -> Leak:
    for worker in _workers(job):
        if _internals.runs_job(_frame_of(worker), future):
            return thread_leak(seen(worker, _internals.frames(), job.birth), label)
    return queued_job_leak(job.birth, label)


def _workers(job: Job) -> list[threading.Thread]:
    pool = job.pool()
    return [] if pool is None else _internals.workers(pool)


def _frame_of(thread: threading.Thread) -> Any:
    return _internals.frames().get(thread.ident or 0)


def _is_of_foreign_pool(scope: Scope, job: Job) -> bool:
    """Tell whether the workers of a job's pool are not among the suspects themselves."""
    pool = job.pool()
    birth = None if pool is None else birth_of(pool)
    if pool is None or birth is None:
        return pool is not None
    return birth.serial < scope.mark or scope.blame(birth.owner, birth.serial) is None


# Threads.


def _no_thread_came(scope: Scope) -> bool:
    return (
        BIRTHS.threads_started == scope.started
        and not BIRTHS.jobs
        and scope.idents.issuperset(_internals.frames())
        and not BIRTHS.workers
    )


def is_quiet(scope: Scope) -> bool:
    """Tell at a glance whether nothing runs that was not there before, and nothing that could have got new work."""
    return not BIRTHS.tasks and not BIRTHS.submitted and _no_thread_came(scope)


def judge_threads(scope: Scope, deadline: Deadline) -> None:
    """Wait for the threads of a scope, and convict those that do not end."""
    if _no_thread_came(scope):
        return
    judge_jobs(scope, [job for job in BIRTHS.pending_jobs(scope.mark) if _is_of_foreign_pool(scope, job[0])], deadline)
    suspects = thread_suspects(scope)
    raw = _raw_suspects(scope)
    if not suspects and not raw:
        return
    workers = [found.thread for found, _ in suspects if weakref.ref(found.thread) in BIRTHS.workers]
    watch(lambda: all(map(_is_at_rest, workers)), deadline)  # right after a result was set, a worker looks busy
    settle_threads([found.thread for found, _ in suspects if found.thread not in workers], deadline)
    watch(lambda: not _alive(raw), deadline)
    if any(found.thread.is_alive() for found, _ in suspects):
        gc.collect()  # a pool that only a cycle keeps alive ends its workers now
        settle_threads([found.thread for found, _ in suspects], Deadline(_AFTER_COLLECTION))
    left = thread_suspects(scope)
    raw = _alive(raw)
    if left or raw:
        scope.count()
        _convict_threads(scope, left)
        frames = _internals.frames()
        leaks = [raw_thread_leak(ident, frames.get(ident), birth, label) for ident, birth, label in raw]
        scope.leaks += [leak for leak in leaks if not scope.ignored(leak)]
        for _, birth, _ in raw:
            if birth is not None:
                birth.reported = True


def _is_at_rest(worker: threading.Thread) -> bool:
    found = seen(worker, _internals.frames())
    return not worker.is_alive() or exception_for(THREAD_RULES, found) is not None


def _convict_threads(scope: Scope, convicts: list[tuple[SeenThread, str]]) -> None:
    jobs = BIRTHS.pending_jobs(0) if convicts else []
    for found, label in convicts:
        scope.leaks.append(thread_leak(found, label))
        if found.birth is not None:
            found.birth.reported = True
        for job, future in jobs:  # a worker is reported with the job that keeps it
            if _internals.runs_job(_frame_of(found.thread), future):
                job.birth.reported = True


def thread_suspects(scope: Scope) -> list[tuple[SeenThread, str]]:
    frames = _internals.frames()
    suspects = []
    for thread in live_threads():
        found = _found(scope, thread, frames)
        if found is None or (found.birth is not None and found.birth.reported):
            continue
        if found.birth is not None and found.birth.owner in {IMPORT, PLUGIN}:
            scope.lasting.append(thread_leak(found, found.birth.owner.label))
            found.birth.reported = True
            continue
        label = scope.blame(found.birth.owner, found.birth.serial) if found.birth else scope.blame(None)
        if label is None or exception_for(THREAD_RULES, found) is not None:
            continue
        if not scope.ignored(thread_leak(found, label)):
            suspects.append((found, label))
    return suspects


def _found(scope: Scope, thread: threading.Thread, frames: dict[int, Any]) -> SeenThread | None:
    """Return a thread that came in this scope's time, or an older worker that got its job in it."""
    birth = birth_of(thread)
    if birth.serial > scope.mark if birth else thread.ident not in scope.idents:
        return seen(thread, frames)
    if weakref.ref(thread) in BIRTHS.workers and (job := _job(thread, frames)) is not None and job.serial > scope.mark:
        return seen(thread, frames, job)
    return None


def _job(thread: threading.Thread, frames: dict[int, Any]) -> Birth | None:
    """Return the birth of the job that a worker of anyio or trio does now, None where it is idle or nobody knows."""
    context = _internals.context_of_job(frames.get(thread.ident or 0))
    owner = context.get(OWNER) if context is not None else None
    return None if owner is None else Birth(owner, (), BIRTHS.mark())


def _raw_suspects(scope: Scope) -> list[tuple[int, Birth | None, str]]:
    known = {thread.ident for thread in threading.enumerate() if not isinstance(thread, threading._DummyThread)}
    known.add(threading.get_ident())
    found = []
    for ident in {*_internals.frames(), *BIRTHS.raw}:
        birth = BIRTHS.raw.get(ident)
        if ident in known or (ident in scope.idents if birth is None else birth.serial < scope.mark or birth.reported):
            continue
        label = scope.blame(birth.owner, birth.serial) if birth else scope.blame(None)
        if label is not None:
            found.append((ident, birth, label))
    return found


def _alive(raw: list[tuple[int, Birth | None, str]]) -> list[tuple[int, Birth | None, str]]:
    alive = {*_internals.frames(), *BIRTHS.raw}
    return [suspect for suspect in raw if suspect[0] in alive]
