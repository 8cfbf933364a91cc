"""Tests that an explorer of schedules runs again and again within one call: detangle, simloom, simloop.

Loaded only beside one of them (checked: detangle 0.1, simloom 0.5, simloop 0.2). pytest sees one call of one test, so
what is done for each test has to be done for each run here: scripts and record begin anew, and what a run leaves
running is looked for before the explorer cancels it.

Theory of operation: such a decorator turns an async test into a function that is not, and has the async one in its
closure, under the same name. While the test is called, the closure has one of ours instead. With a marker in place of a
decorator, the test itself is replaced.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Generator
from types import CellType
from typing import Any

import pytest

from pytest_mockstream._base.errors import LeakError
from pytest_mockstream.leaks import leak_check, matches

from .leak_plan import Plan

EXPLORERS = frozenset({"detangle", "simloom", "simloop"})


class GuestPlugin:
    """Wraps the async functions of tests while they are called."""

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        if not isinstance(item, pytest.Function):
            return (yield)
        original = item.obj
        cell = _cell_of(getattr(original, "__func__", original))
        if cell is not None:
            inner = cell.cell_contents
            cell.cell_contents = _each_run(inner, _Runs(_plan_of(item)))
            try:
                return (yield)
            finally:
                cell.cell_contents = inner
        if not inspect.iscoroutinefunction(original):
            return (yield)
        item.obj = _each_run(original, _Runs(_plan_of(item)))
        try:
            return (yield)
        finally:
            item.obj = original


def _cell_of(function: Any) -> CellType | None:
    """Return where a decorated test keeps the async function that it was made of."""
    for cell in getattr(function, "__closure__", None) or ():
        try:
            inner = cell.cell_contents
        except ValueError:  # it is empty
            continue
        if inspect.iscoroutinefunction(inner) and _name(inner) == _name(function):
            return cell  # type: ignore[no-any-return] # cells are what a closure has
    return None


def _name(function: Any) -> tuple[object, object]:
    return getattr(function, "__module__", None), getattr(function, "__qualname__", None)


def _plan_of(item: pytest.Item) -> Plan | None:
    """Return how a run is judged; None if what it leaves fails nothing."""
    check: Any = item.config.pluginmanager.get_plugin("mockstream-leaks")
    if check is None:
        return None
    plan: Plan = check.plan
    is_error = (check.mode == "error" or plan.strict) and plan.allowed is None and plan.expected is None
    return plan if is_error else None


class _Runs:
    """The runs of one call of a test.

    Args:
        plan: how each is judged, or None.
    """

    def __init__(self, plan: Plan | None) -> None:
        self.plan = plan
        self._restore = [playbook.save() for playbook in _playbooks()]
        self._count = 0

    def begin(self) -> None:
        """Give a run what the first one has found."""
        self._count += 1
        if self._count > 1:
            for restore in self._restore:
                restore()

    def end(self) -> None:
        """Raise what the code under test may have swallowed; scripts that nobody asked for are told after the call."""
        for playbook in _playbooks():
            playbook.verify(unused="allow")


def _playbooks() -> list[Any]:
    loaded = sys.modules.get("pytest_mockstream.playbook.playbook")
    return [] if loaded is None else loaded.playbooks()


def _each_run(inner: Callable[..., Any], runs: _Runs) -> Callable[..., Any]:
    @functools.wraps(inner)
    async def run(*args: Any, **kwargs: Any) -> Any:
        if not _is_explored():
            return await inner(*args, **kwargs)  # whoever runs it does so once
        runs.begin()
        if runs.plan is None:
            result = await inner(*args, **kwargs)
        else:
            result = await _judged(inner, args, kwargs, runs.plan)
        runs.end()
        return result

    return run


def _is_explored() -> bool:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0] in EXPLORERS


async def _judged(inner: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], plan: Plan) -> Any:
    """Run a test, and raise if it has left something running: the explorer is about to cancel it."""
    check = leak_check(grace=plan.grace, contain=True)
    try:
        async with check:
            return await inner(*args, **kwargs)
    except LeakError as error:
        left = [leak for leak in check.report.leaks if not matches(leak, plan.ignore)]
        if error.report is not check.report or left:
            raise
    return None
