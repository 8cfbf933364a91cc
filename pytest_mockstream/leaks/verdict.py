"""Judges a scope as a whole, in the order that matters: tasks, streams, threads, optional kinds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from .births import BIRTHS
from .blame import count
from .judge import await_calls, await_submitted, judge_closing_loop, judge_tasks, judge_tasks_here
from .judge_threads import judge_threads, let_threads_end
from .owner import Owner
from .scope import Scope
from .settle import Deadline, close_dropped_generators
from .values import Leak

if TYPE_CHECKING:
    from .kinds import Census


def judge_scope(scope: Scope, streams: Callable[[], list[Leak]], census: Census | None) -> None:
    """Judge what a test left.

    Args:
        scope: the test.
        streams: returns the leaks of streams; it is asked when everything has had its time, and before any garbage
            collection.
        census: sees the optional kinds.
    """
    deadline = Deadline(scope.grace)
    await_submitted(scope)
    _judge_all(scope, streams, deadline)
    if census is not None:
        census.judge(scope, scope.kinds)


async def judge_here(scope: Scope) -> None:
    """Judge what a block left, from a coroutine."""
    deadline = Deadline(scope.grace)
    await_submitted(scope)
    await judge_tasks_here(scope, deadline)
    while deadline.left and let_threads_end(scope, deadline):
        await judge_tasks_here(scope, deadline)
    judge_threads(scope, deadline)


def _judge_all(scope: Scope, streams: Callable[[], list[Leak]], deadline: Deadline) -> None:
    """Judge tasks, streams and threads.

    Whatever ends in time may have started something of either kind, and so may what ends just as the time is up, for
    each look takes a moment. Once a chain is met, the rest of it is not looked for.
    """
    before = found = len(scope.leaks)
    judge_tasks(scope, deadline)
    while deadline.left and let_threads_end(scope, deadline) | await_calls(scope, deadline):
        judge_tasks(scope, deadline)
    met = len(scope.leaks) > found
    scope.leaks += streams()
    found = len(scope.leaks)
    judge_threads(scope, deadline)
    patience = Deadline(deadline.grace)
    while not met and len(scope.leaks) == found and patience.left and await_calls(scope, deadline):
        judge_tasks(scope, deadline)
        judge_threads(scope, deadline)
    if len(scope.leaks) > before:
        count(scope)


def judge_ended(scope: Scope, owner: Owner, grace: float) -> None:
    """Judge what a wider fixture left; the scope on stage, whose births count from the fixture's now, carries it."""
    scope.ending = owner
    started, scope.started = scope.started, -1
    _judge_all(scope, list, Deadline(grace))
    owner.leaked = bool(scope.leaks)
    scope.started, scope.ending = started, None


def judge_closing(scope: Scope, loop: asyncio.AbstractEventLoop, since: int) -> None:
    """Judge what a loop still has to do that is about to be closed."""
    judge_closing_loop(scope, loop, since, Deadline(scope.grace))


def close_generators(scope: Scope, loop: asyncio.AbstractEventLoop) -> None:
    """Let an idle loop close the async generators that were dropped."""
    close_dropped_generators(loop, lambda: _tasks(loop), Deadline(scope.grace))


def _tasks(loop: asyncio.AbstractEventLoop) -> list[asyncio.Task[object]]:
    return [task for birth in BIRTHS.pending_on(loop) if (task := birth()) is not None]
