"""What the runs of all sweeps have in common: waiting for their end, restoring scripts, calling ``check``.

Which runs there are is planned elsewhere.
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

from .positions import describe
from .problem import Problem, asked_more, error_text
from .result import SweepResult
from .settings import Check

_CANCELLATIONS = 3  # of a run that does not end
_PAUSE = 0.05  # seconds between two of them


class HungError(Exception):
    """A run did not end within its limit; the message says where it waited."""


async def wait_for_end(task: asyncio.Task[Any], limit: float | None, place: Callable[[], CallSite | None]) -> None:
    """Wait for a task, and cancel it if it does not end by itself.

    Args:
        task: to wait for.
        limit: seconds of the loop's time; None waits for ever.
        place: returns where the task waits.

    Raises:
        HungError: the limit was over before the task ended.
    """
    try:
        await _wait(task, limit)
    finally:
        if not task.done():
            where = place()
            task.cancel()
    if task.done():
        return
    for _ in range(_CANCELLATIONS):
        await _wait(task, _PAUSE)
        if task.done():
            break
        task.cancel()
    raise HungError(describe(where))


async def _wait(task: asyncio.Task[Any], limit: float | None) -> None:
    """Wait for a task as ``asyncio.wait`` does, but in real time where the clock of the loop was patched."""
    finished = Notifier()

    def notify(_: object) -> None:
        finished.notify()

    task.add_done_callback(notify)
    try:
        await finished.wait_async(0, limit)
    finally:
        task.remove_done_callback(notify)


class SavedScripts:
    """The scripts of all doors as they were before the first run, which every run is to find again."""

    def __init__(self) -> None:
        self._before = [(playbook, playbook.save(), len(playbook.unexpected)) for playbook in playbooks()]
        self._after: list[Callable[[], None]] = []

    def keep_record(self) -> None:
        """Remember the record of requests as it is now, for ``finish``."""
        self._after = [playbook.save() for playbook in playbooks()]

    def rewind(self) -> None:
        """Restore what was there before the first run."""
        for _, restore, _ in self._before:
            restore()

    def finish(self) -> None:
        """Restore the record that was kept."""
        self.rewind()
        for restore in self._after:
            restore()

    def asked_more(self) -> tuple[Problem, ...]:
        """Return the requests of the last run that no script was left for, without those from before the sweep."""
        seen: dict[Playbook, int] = {playbook: count for playbook, _, count in self._before}
        return asked_more(error for playbook in playbooks() for error in playbook.unexpected[seen.get(playbook, 0) :])


@contextmanager
def saved_scripts() -> Iterator[SavedScripts]:
    """Save the scripts of all doors; afterwards the record of requests is that of the first run."""
    scripts = SavedScripts()
    try:
        yield scripts
    finally:
        scripts.finish()


def error_of(task: asyncio.Task[Any]) -> BaseException | None:
    """Return the exception that ended a task; None if it returned or is still running."""
    if not task.done():
        return None
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception()


async def failed_check(check: Check | None) -> tuple[Problem, ...]:
    """Call ``check``, await what it returns if that is awaitable, and return how it failed, if it did."""

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
    """Call ``check`` where no loop runs, and return how it failed, if it did."""
    try:
        _refuse_false(check and check())
    except Exception as error:
        return (_failed(error),)
    return ()


class _FalseError(Exception):
    """The check returned False."""


def _refuse_false(result: object) -> None:
    if result is False:
        raise _FalseError


def _failed(error: Exception) -> Problem:
    return Problem(
        "check() returned False" if isinstance(error, _FalseError) else f"check() failed: {error_text(error)}"
    )


def raise_or_warn(result: SweepResult) -> SweepResult:
    """Raise if something was wrong, warn if points could not be visited, and return the result.

    Raises:
        SweepError: something was wrong.
    """
    result.raise_if_bad()
    if not result.steady:
        warnings.warn(f"{result.title}: {result.unsteadiness()}", SweepWarning, stacklevel=3)
    return result
