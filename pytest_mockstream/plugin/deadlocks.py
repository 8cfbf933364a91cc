"""Fails a test under a virtual clock at once where nothing can happen any more; it would hang until its time-out.

Loaded only where looptime, or trio's own tools for tests, are; the verdict itself is made in ``sweep``.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest

from pytest_mockstream._base.loops import asyncio_loop, running_loop
from pytest_mockstream.sweep import deadlocks_raised, or_deadlock_on_trio

from .tracebacks import TracebacksAsBefore

#: Calls a test, and looks at the loop while it runs.
_Watch: TypeAlias = Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]


class DeadlockPlugin:
    """Looks at the loops in which tests run, as soon as they run there."""

    # Last, so that it looks at the loop of the test, and not at one in which a sweep runs the test's body.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        with _watched(item, _or_deadlock_on_asyncio):
            return (yield)


class DeadlockOnTrioPlugin:
    """Does the same on trio."""

    # First, before pytest-trio puts a function that is not async in place of the test's.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        with _watched(item, or_deadlock_on_trio):
            return (yield)


@contextmanager
def _watched(item: pytest.Item, watch: _Watch) -> Iterator[None]:
    """Watch a test while it is called, if it is async."""
    original = getattr(item, "obj", None)
    if not isinstance(item, pytest.Function) or not inspect.iscoroutinefunction(original):
        yield
        return

    @functools.wraps(original)
    async def test(**arguments: Any) -> Any:
        __tracebackhide__ = True
        return await watch(functools.partial(original, **arguments))

    item.obj = test
    try:
        yield
    except BaseException:
        TracebacksAsBefore.register(item.config)
        raise
    finally:
        item.obj = original


async def _or_deadlock_on_asyncio(test: Callable[[], Awaitable[object]]) -> object:
    __tracebackhide__ = True
    if asyncio_loop(running_loop()) is None:
        return await test()
    with deadlocks_raised():
        return await test()
