"""What the runs of all sweeps have in common.

The wall: waits for a run and reads its end; which runs there are is planned elsewhere.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from pytest_mockstream._callsite import CallSite
from pytest_mockstream._playbook import playbooks

from ._places import described

Check: TypeAlias = Callable[[], object]
Making: TypeAlias = Callable[[], Awaitable[Any]]

_ROUNDS = 3
_MOMENT = 0.05


def name_of(thing: object) -> str:
    """Return how a report calls a callable: a lambda by where it stands."""
    inner = getattr(thing, "func", thing)
    name = str(getattr(inner, "__qualname__", repr(inner)))
    code = getattr(inner, "__code__", None)
    if name.endswith("<lambda>") and code is not None:
        return f"the lambda at {CallSite(code.co_filename, code.co_firstlineno, name)}"
    return name


class HungError(Exception):
    """A run did not end in its time."""


async def ended(task: asyncio.Task[Any], limit: float | None, place: Callable[[], CallSite | None]) -> CallSite | None:
    """Wait for a task; return where it waited if it did not end in time, after making it end.

    Args:
        task: to wait for.
        limit: seconds of the loop's time.
        place: returns where the task waits.

    Raises:
        HungError: it did not.
    """
    try:
        await asyncio.wait((task,), timeout=limit)
    finally:
        if not task.done():
            where = place()
            task.cancel()
    if task.done():
        return None
    for _ in range(_ROUNDS):
        await asyncio.wait((task,), timeout=_MOMENT)
        if task.done():
            break
        task.cancel()
    raise HungError(described(where))


class Scripts:
    """The playbooks of all doors, which every run is to find as the first one did."""

    def __init__(self) -> None:
        self._before = [playbook.save() for playbook in playbooks()]
        self._after = self._before

    def keep(self) -> None:
        """Let the record be in the end what it is now."""
        self._after = [playbook.save() for playbook in playbooks()]

    def rewind(self) -> None:
        """Put all back to the beginning."""
        for restore in self._before:
            restore()

    def finish(self) -> None:
        """Leave what was kept."""
        for restore in (*self._before, *self._after):
            restore()


@contextmanager
def rewound() -> Iterator[Scripts]:
    """Lend what puts the scripts of all doors back; after it, the record is that of the first run."""
    scripts = Scripts()
    try:
        yield scripts
    finally:
        scripts.finish()


def unexpected() -> tuple[str, ...]:
    """Return the requests that no script was left for."""
    errors = [error for playbook in playbooks() for error in playbook.unexpected]
    return tuple(f"it asked once more than in its first run: {str(error).splitlines()[0]}" for error in errors)


def outcome_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task ended with; None is a result."""
    if not task.done():
        return None
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()


async def failed_check(check: Check | None) -> tuple[str, ...]:
    """Return how ``check()`` failed, if it did."""
    if check is None:
        return ()
    try:
        held = check()
        if inspect.isawaitable(held):
            held = await held
    except Exception as error:
        return (f"check() failed: {said(error)}",)
    return ("check() returned False",) if held is False else ()


def said(error: BaseException) -> str:
    """Return an exception as a report says it."""
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
