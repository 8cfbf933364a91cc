"""One task has one birth, however many look for it while it is made."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from pytest_mockstream import leak_check
from pytest_mockstream.leaks.births import BIRTHS


def look() -> None:
    """Look for tasks, as the check of a test in another thread may at any moment."""
    list(BIRTHS.pending_since(0))


class LookedAt(asyncio.Task[Any]):
    """A task that somebody looks for just while it is noted."""

    was_looked_for = False

    def get_coro(self) -> Any:
        if not self.was_looked_for:
            self.was_looked_for = True
            look()
        return super().get_coro()


def made(kind: type[asyncio.Task[Any]]) -> Any:
    def factory(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], **kwargs: Any) -> asyncio.Task[Any]:
        task = kind(coro, loop=loop, **kwargs)
        if kind is asyncio.Task:
            look()
        return task

    return factory


@pytest.mark.parametrize("kind", [asyncio.Task, LookedAt])
async def test_task_that_is_looked_for_while_it_is_made_is_one_leak_with_its_line(
    kind: type[asyncio.Task[Any]],
) -> None:
    asyncio.get_running_loop().set_task_factory(made(kind))
    check = leak_check(grace=0)

    with pytest.raises(AssertionError, match="left 1 thing running"):
        async with check:
            task = asyncio.create_task(asyncio.Event().wait())

    task.cancel()
    (leak,) = check.report.leaks
    assert leak.created_at is not None
    assert leak.created_at.filename == __file__
    before, after = check.report.counts.tasks
    assert after == before + 1
