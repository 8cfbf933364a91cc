"""Decides about tasks: what is alive is a candidate, its owner is blamed, and what ends in time is no leak.

It observes. Only what fails its scope may be ended, and of that only what would end anyway, with a loop that is being
closed, unless the scope wants it contained.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from . import internals, interpreter
from .births import BIRTHS, TaskBirth
from .blame import blame, blame_at_close
from .contain import end_tasks, end_tasks_here
from .judge_threads import judge_jobs, pending_jobs
from .lasting import let_go, of_task, spare
from .owner import Owner
from .rules import TASK_RULES, exception_for
from .scope import Scope
from .settle import Deadline, Task, by_loop, let_pass, settle_tasks, wait_here, watch
from .successors import waits_for_calls
from .suspects import task_leak
from .values import Leak

Suspect: TypeAlias = tuple[TaskBirth, Task, str]
Blame: TypeAlias = Callable[[Owner | None, int], str | None]
_ARRIVAL = 1.0  # seconds, and more than a busy machine takes to let another thread run
SWALLOWED = "It swallowed its cancellation."
SWALLOWED_REMEDY = "Do not catch CancelledError without raising it again."


def task_suspects(scope: Scope, births: Iterable[TaskBirth], blame: Blame) -> list[Suspect]:
    """Return the births that the scope would be blamed for, with their tasks and the label of the owner."""
    found = []
    for birth in births:
        task, label = birth(), blame(birth.owner, birth.serial)
        if task is None or label is None or birth.reported or exception_for(TASK_RULES, birth) is not None:
            continue
        if scope.policy.ignored(task_leak(birth, task, label)):
            let_go(birth.owner)
        else:
            found.append((birth, task, label))
    return found


def convict_tasks(scope: Scope, suspects: list[Suspect]) -> dict[Task, Leak]:
    """Return what is still pending as leaks."""
    left = [(birth, task, label) for birth, task, label in suspects if not task.done()]
    leaks = {}
    for birth, task, label in left:
        leak = spare(scope, of_task(birth, task), task_leak(birth, task, label))
        if leak is not None:
            leaks[task] = leak
            scope.convicted.add(birth.serial)
            birth.report(fails=scope.policy.fails(leak))
    return leaks


def _contained(scope: Scope, leaks: dict[Task, Leak]) -> list[Task]:
    can_end = ((task, leak) for task, leak in leaks.items() if not task.get_loop().is_closed())
    return [task for task, leak in can_end if scope.policy.contained(leak) and scope.policy.fails(leak)]


def record_tasks(scope: Scope, leaks: dict[Task, Leak], ended: Iterable[Task], stubborn: Iterable[Task]) -> None:
    """Add leaks to the scope, with what became of them: some were made to end, and of those some resisted."""
    for task in leaks.keys() & set(ended):
        leaks[task] = replace(leaks[task], fate="ended" if task.done() else "abandoned")
    for task in leaks.keys() & set(stubborn):
        leaks[task] = replace(leaks[task], diagnosis=SWALLOWED, remedy=SWALLOWED_REMEDY)
    scope.leaks += leaks.values()


def await_submitted(scope: Scope) -> None:
    """Wait until coroutines that were sent to loops in other threads are tasks there: only then their grace begins."""
    if BIRTHS.submitted:
        watch(lambda: not _on_the_way(scope), Deadline(max(scope.grace, _ARRIVAL)))


async def judge_tasks_here(scope: Scope, deadline: Deadline) -> None:
    """Do as ``judge_tasks``, from a coroutine, whose own loop goes on meanwhile."""
    loop = asyncio._get_running_loop()  # None in a trio program, whose own tasks cannot outlive their nursery
    blame_here = partial(blame, scope)

    def look() -> list[Suspect]:
        return task_suspects(scope, BIRTHS.pending_since(scope.mark), blame_here)

    suspects = look()
    while suspects:
        await wait_here([task for _, task, _ in suspects if task.get_loop() is loop], deadline.left)
        settle_tasks([task for _, task, _ in suspects if task.get_loop() is not loop], deadline)
        if not _may_have_successors(suspects):
            break
        for here, seconds in waits_for_calls([] if loop is None else [loop], blame_here, look, deadline):
            await wait_here([here.create_future()], seconds)
        suspects = look()
        if not deadline.left:
            break
    if leaks := convict_tasks(scope, suspects):
        ended = _contained(scope, leaks)
        mine = [task for task in ended if task.get_loop() is loop]
        stubborn = await end_tasks_here(mine) | end_tasks(task for task in ended if task.get_loop() is not loop)
        record_tasks(scope, leaks, ended, stubborn)


def judge_tasks(scope: Scope, deadline: Deadline) -> None:
    """Wait for the tasks of a scope, and convict those that do not end."""
    if leaks := _convicted(scope, lambda: BIRTHS.pending_since(scope.mark), deadline, partial(blame, scope)):
        ended = _contained(scope, leaks)
        stubborn: set[Task] = set()
        try:
            stubborn = end_tasks(ended)
        finally:
            record_tasks(scope, leaks, ended, stubborn)


def await_calls(scope: Scope, deadline: Deadline) -> bool:
    """Wait until the loops that outlive a test have made the calls that it has asked for; return whether tasks came."""
    loops = [loop for runner in list(BIRTHS.runners) if (loop := interpreter.runner_loop(runner())) is not None]
    blame_here = partial(blame, scope)

    def look() -> list[Suspect]:
        return task_suspects(scope, BIRTHS.pending_since(scope.mark), blame_here)

    for loop, seconds in waits_for_calls(loops, blame_here, look, deadline):
        let_pass(loop, seconds)
    return bool(look())


def _convicted(
    scope: Scope, births: Callable[[], Iterable[TaskBirth]], deadline: Deadline, blame: Blame
) -> dict[Task, Leak]:
    def look() -> list[Suspect]:
        return task_suspects(scope, births(), blame)

    suspects = look()
    while suspects:
        settle_tasks([task for _, task, _ in suspects], deadline)
        if not _may_have_successors(suspects):
            break
        for loop, seconds in waits_for_calls(by_loop(task for _, task, _ in suspects), blame, look, deadline):
            let_pass(loop, seconds)
        suspects = look()
        if not deadline.left:
            break
    return convict_tasks(scope, suspects)


def _may_have_successors(suspects: list[Suspect]) -> bool:
    """Tell whether a task has ended: each of a chain may start the next, and never be the one that is left."""
    return any(task.done() for _, task, _ in suspects)


def _on_the_way(scope: Scope) -> bool:
    """Tell whether a coroutine of the scope was sent to another thread's loop, which did not come to it yet."""
    sent = list(BIRTHS.submitted.values())
    here = asyncio._get_running_loop()
    return any(
        submission.birth.serial > scope.mark and submission.loop.is_running() and submission.loop is not here
        for submission in sent
    )


def judge_closing_loop(scope: Scope, loop: asyncio.AbstractEventLoop, since: int, deadline: Deadline) -> None:
    """Judge what a loop that is about to be closed still has to do, and end what failed a test: it ends now anyway.

    One that swallows its cancellation would keep the loop from closing for ever.
    """
    if pending := BIRTHS.pending_on(loop):
        leaks = _convicted(
            scope,
            lambda: (birth for birth in BIRTHS.pending_on(loop) if birth.serial > since),
            deadline,
            partial(blame_at_close, scope),
        )
        failed = [task for birth in pending if (task := birth()) and birth.reported and birth.failed]
        stubborn: set[Task] = set()
        try:
            stubborn = end_tasks(task for task in failed if not task.done())
        finally:
            record_tasks(scope, leaks, failed, stubborn)
    pool = internals.default_pool(loop)
    if pool is None or not BIRTHS.jobs:
        return
    jobs = [job for job in pending_jobs(0) if job[0].pool() is pool]
    judge_jobs(scope, jobs, deadline)
    if any(job.birth.reported and job.birth.failed and not future.done() for job, future in jobs):
        internals.release_pool(loop, pool)  # or the closing would wait for it
