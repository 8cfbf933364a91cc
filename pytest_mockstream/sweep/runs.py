"""What the runs of all sweeps have in common.

The wall: waits for a run, reads its end and puts scripts back; which runs there are is planned elsewhere.
"""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import SweepWarning
from pytest_mockstream._base.notifier import Notifier
from pytest_mockstream.playbook.playbook import Playbook, playbooks

from .places import described
from .problem import Problem, asked_more, said
from .result import SweepResult
from .settings import Check

_ROUNDS = 3
_MOMENT = 0.05


class HungError(Exception):
    """A run did not end in its time; the message says where it waited."""


async def ended(task: asyncio.Task[Any], limit: float | None, place: Callable[[], CallSite | None]) -> None:
    """Wait for a task, and make it end if it does not in its time.

    Args:
        task: to wait for.
        limit: seconds of the loop's time.
        place: returns where the task waits.

    Raises:
        HungError: it did not.
    """
    try:
        await _wait(task, limit)
    finally:
        if not task.done():
            where = place()
            task.cancel()
    if task.done():
        return
    for _ in range(_ROUNDS):
        await _wait(task, _MOMENT)
        if task.done():
            break
        task.cancel()
    raise HungError(described(where))


async def _wait(task: asyncio.Task[Any], limit: float | None) -> None:
    """Wait for a task as ``asyncio.wait`` does, but on a loop whose clock was patched in real time."""
    over = Notifier()

    def notify(_: object) -> None:
        over.notify()

    task.add_done_callback(notify)
    try:
        await over.wait_async(0, limit)
    finally:
        task.remove_done_callback(notify)


class Scripts:
    """The playbooks of all doors, which every run is to find as the first one did."""

    def __init__(self) -> None:
        self._before = [(playbook, playbook.save(), len(playbook.unexpected)) for playbook in playbooks()]
        self._after: list[Callable[[], None]] = []

    def keep(self) -> None:
        """Let the record be in the end what it is now."""
        self._after = [playbook.save() for playbook in playbooks()]

    def rewind(self) -> None:
        """Put all back to the beginning."""
        for _, restore, _ in self._before:
            restore()

    def finish(self) -> None:
        """Leave what was kept."""
        self.rewind()
        for restore in self._after:
            restore()

    def asked_more(self) -> tuple[Problem, ...]:
        """Return what the last run asked that no script was left for; what others had asked before is not its own."""
        seen: dict[Playbook, int] = {playbook: count for playbook, _, count in self._before}
        return asked_more(error for playbook in playbooks() for error in playbook.unexpected[seen.get(playbook, 0) :])


@contextmanager
def rewound() -> Iterator[Scripts]:
    """Lend what puts the scripts of all doors back; after it, the record is that of the first run."""
    scripts = Scripts()
    try:
        yield scripts
    finally:
        scripts.finish()


def outcome_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return what a task ended with; None is a result."""
    if not task.done():
        return None
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()


async def failed_check(check: Check | None) -> tuple[Problem, ...]:
    """Return how ``check()`` failed, if it did; await it if need be."""

    async def held() -> None:
        if inspect.isawaitable(result := check and check()):
            result = await result
        _refuse_false(result)

    try:
        await held()
    except Exception as error:
        return (_failed(error),)
    return ()


def failed_sync_check(check: Check | None) -> tuple[Problem, ...]:
    """Do as ``failed_check`` where no loop runs."""
    try:
        _refuse_false(check and check())
    except Exception as error:
        return (_failed(error),)
    return ()


class _FalseError(Exception):
    """What was checked does not hold."""


def _refuse_false(result: object) -> None:
    if result is False:
        raise _FalseError


def _failed(error: Exception) -> Problem:
    return Problem("check() returned False" if isinstance(error, _FalseError) else f"check() failed: {said(error)}")


def told(result: SweepResult) -> SweepResult:
    """Return a result; warn if points of it could not be visited, and raise if something was wrong.

    Raises:
        SweepError: something was.
    """
    result.raise_if_bad()
    if not result.steady:
        warnings.warn(f"{result.title}: {result.unsteadiness()}", SweepWarning, stacklevel=3)
    return result
