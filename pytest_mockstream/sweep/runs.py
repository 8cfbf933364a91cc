"""What the runs of all sweeps have in common: waiting for their end, restoring scripts, calling ``check``.

Which runs there are is planned elsewhere.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat

from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.errors import DeadlockError, SweepWarning
from pytest_mockstream._base.loops import clock_of, running_loop
from pytest_mockstream.playbook.playbook import Playbook, playbooks

from .positions import describe
from .probe import Job, ProbedRun
from .problem import Problem, asked_more, error_text
from .result import SweepResult
from .settings import Check, Settings

# A run is waited for in so many parts: when the whole process pauses, as for the collector, only one of them is over,
# and the run gets its turns in the others.
_PARTS = 10
_CANCELLATIONS = 3  # of a run that does not end
_PAUSE = 0.05  # seconds between two of them
_FIRST_LOOK = 0.02  # the share of the limit after which it is first looked whether the run can still end
_LOOK = 0.02  # seconds until then, where there is no limit


class HungError(Exception):
    """A run did not end within its limit, or can never end; the message says where it waited.

    Attributes:
        deadlock: who waits for what, if it can never end.
    """

    def __init__(self, where: str, deadlock: Problem | None = None) -> None:
        super().__init__(where)
        self.deadlock = deadlock


async def wait_for_end(run: ProbedRun, limit: float | None) -> None:
    """Wait for a run, and cancel it if it does not end by itself.

    Args:
        run: to wait for.
        limit: seconds of the loop's time; None waits for ever.

    Raises:
        HungError: the limit was over before the run ended, or it can never end.
        DeadlockError: it can never end, and has no limit.
    """
    job = run.job
    assert job is not None, "the run was started"  # noqa: S101 - by whoever waits for it
    stuck: Problem | None = None
    try:
        stuck = await _wait_for_either(job, limit)
    finally:
        if not job.done():
            where = run.waits_at()
            job.cancel()
    if job.done():
        return
    for _ in range(_CANCELLATIONS):
        await _wait(job, _PAUSE)
        if job.done():
            break
        job.cancel()
    if limit is None and stuck is not None:
        raise DeadlockError(f"{stuck}\n  {stuck.hint}")
    raise HungError(describe(where), stuck)


async def _wait_for_either(job: Job, limit: float | None) -> Problem | None:
    """Wait for a job; return who waits for what, if it can never end."""
    seen = job.finished.count
    with job.watched():
        for part in _parts(limit):
            notified = not job.done() and await job.finished.wait_async(seen, part)
            if job.done():
                return None
            if (stuck := await job.deadlock()) is not None or notified:
                return stuck
    return None


def _parts(limit: float | None) -> Iterator[float | None]:
    """Yield how long to wait each time before looking whether a run can still end, in seconds of the loop's time."""
    if limit is not None:
        yield limit * _FIRST_LOOK
        yield from [limit * (1 - _FIRST_LOOK) / _PARTS] * _PARTS
    elif clock_of(running_loop()) is monotonic:
        yield from chain([_LOOK, 10 * _LOOK], repeat(100 * _LOOK))
    else:
        yield None  # a clock that jumps would never come to rest: there one is told


async def _wait(job: Job, limit: float) -> None:
    """Wait for a job; in real time where the clock of the loop was patched."""
    seen = job.finished.count
    for _ in range(_PARTS):
        if job.done() or await job.finished.wait_async(seen, limit / _PARTS):
            return


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


def raise_or_warn(result: SweepResult, settings: Settings) -> SweepResult:
    """Raise if something was wrong, warn if nothing, or less than was asked for, was tested; return the result.

    Raises:
        SweepError: something was wrong.
    """
    result.raise_if_bad()
    unasked = result.left_out_note if settings.limits_unasked else ""
    warn(result.title, result.emptiness(), result.unsteadiness(), unasked)
    return result


def warn(title: str, *notes: str) -> None:
    """Warn of what a sweep did not test, where its caller called it."""
    for note in filter(None, notes):
        warnings.warn(f"{title}: {note}", SweepWarning, stacklevel=4)
