"""``sweep_cancellation``: one run for each place where a coroutine can be cancelled.

The wall: plans the runs and judges them; ``Drive`` delivers the cancellation, ``Remains`` finds what was left.

Theory of operation: the first run is left alone and counts the points. Then comes one run for each point. A run that is
cancelled may wait again in its clean-up; each such place, told apart by both lines, is one more run, cancelled at the
point and once more in the clean-up. The last run is left alone again: it finds what no single run shows, such as a lock
that the cancelled code still holds. Playbooks are put back before each run, so that every run finds the scripts that
the first one found.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from pytest_mockstream._legal import duration, integer

from ._left import Remains
from ._places import Chain
from ._plan import Progress, chosen, told
from ._probe import Drive, children_probed
from ._result import SweepResult, Visit
from ._runs import Check, HungError, Making, ended, failed_check, name_of, outcome_of, rewound, said, unexpected

_at_least_one = integer(at_least=1)


async def sweep_cancellation(
    make_coroutine: Making,
    *,
    check: Check | None = None,
    grace: float | str = 0.2,
    ignore: Iterable[str] = (),
    allow_completion: bool = False,
    again: bool = True,
    late: bool = False,
    point: int | None = None,
    max_points: int | None = None,
    patience: float | str = 1.0,
    progress: Progress | None = None,
) -> SweepResult:
    """Run a coroutine once for each place where it can be cancelled, and look what is left each time.

    After each run nothing it started may be running, no stream may be open or have been dropped unclosed, the
    cancellation must have come out, and ``check()`` must hold.

    Args:
        make_coroutine: is called once for each run, and returns the coroutine: ``lambda: chat(client)``.
        check: is called after each cancelled run, and awaited if need be; it fails by raising or by returning False.
        grace: the longest to wait for what a run left to end by itself, in seconds.
        ignore: names of tasks or threads, or of functions in their stacks, that are meant to go on; see ``leak_check``.
        allow_completion: a run may also swallow its cancellation and complete.
        again: also cancel once more where the clean-up waits, once for each pair of places.
        late: cancel when what is awaited has just come, before the code gets to see it: what it has then must not be
            lost. Default: cancel as soon as it waits.
        point: visit this point alone.
        max_points: visit at most so many, evenly spread.
        patience: how many seconds of the loop's time a run may take longer than the first one.
        progress: is called after each point with how many are done, and how many there are. By default long sweeps tell
            the log ``pytest_mockstream.sweep``.

    Returns:
        What was visited; ``print`` it for a table.

    Raises:
        SweepError: something was wrong; it names every bad place.
        ScriptError: an argument is not legal.
    """
    result = await cancellations(
        make_coroutine,
        check=check,
        grace=grace,
        ignore=ignore,
        allow_completion=allow_completion,
        again=again,
        late=late,
        point=point,
        max_points=max_points,
        patience=patience,
        progress=progress,
    )
    result.raise_if_bad()
    return result


async def cancellations(
    make_coroutine: Making,
    *,
    check: Check | None = None,
    grace: float | str = 0.2,
    ignore: Iterable[str] = (),
    allow_completion: bool = False,
    again: bool = True,
    late: bool = False,
    point: int | None = None,
    max_points: int | None = None,
    patience: float | str = 1.0,
    progress: Progress | None = None,
    title: str | None = None,
) -> SweepResult:
    """Do as ``sweep_cancellation``, and return a bad result, too."""
    sweep = _Sweep(
        make_coroutine,
        check=check,
        grace=duration(grace, "grace"),
        patience=duration(patience, "patience"),
        allow_completion=allow_completion,
        late=late,
        again=again,
        ignore=tuple(ignore),
    )
    if point is not None:
        _at_least_one(point, "point")
    if max_points is not None:
        _at_least_one(max_points, "max_points")
    title = title or f"sweep_cancellation of {name_of(make_coroutine)}"
    with rewound() as scripts, children_probed():
        try:
            first, left = await sweep.run_plain()
        finally:
            scripts.keep()
        if first.problems:
            return SweepResult(title=title, points=left.count, visits=(first,))
        numbers = chosen(left.count, point=point, max_points=max_points)
        sweep.rewind = scripts.rewind
        for number in told(numbers, title, progress):
            await sweep.visit(number)
            if sweep.broken_off:
                break
        if not sweep.broken_off:
            await sweep.run_last()
    return SweepResult(
        title=title,
        points=left.count,
        visits=tuple(sweep.visits),
        left_out=left.count - len(numbers),
        not_reached=tuple(sweep.not_reached),
        broken_off=sweep.broken_off,
    )


@dataclass
class _Sweep:
    make_coroutine: Making
    check: Check | None
    grace: float
    patience: float
    allow_completion: bool
    late: bool
    again: bool
    ignore: tuple[str, ...]

    def __post_init__(self) -> None:
        self.visits: list[Visit] = []
        self.not_reached: list[int] = []
        self.broken_off = ""
        self.rewind: Callable[[], object] = bool
        self._limit: float | None = None
        self._pairs: set[tuple[Chain, Chain]] = set()

    async def run_plain(self) -> tuple[Visit, Drive]:
        """Run it once and do nothing to it; what it raises is the caller's to see."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        drive = Drive()
        async with Remains(self.grace, self.ignore) as remains:
            task = drive.start(self.make_coroutine)
            await ended(task, None, drive.waits_at)
            self._limit = loop.time() - began + self.patience
        task.result()
        return Visit(point=0, what="run without any cancellation", problems=remains.problems), drive

    async def visit(self, number: int) -> None:
        drive = await self._cancelled(number)
        if drive is None or not self.again:
            return
        for cleanup, after in drive.cleanup.items():
            if (drive.chain, cleanup) not in self._pairs:
                self._pairs.add((drive.chain, cleanup))
                await self._cancelled(number, again=after)

    async def run_last(self) -> None:
        """Run it once more, left alone: what cancelled runs have spoilt shows now."""
        drive = Drive()
        problems = await self._run(drive)
        if problems and self.visits:
            self._blame(problems)

    async def _cancelled(self, number: int, *, again: int | None = None) -> Drive | None:
        drive = Drive(number, again=again, late=self.late)
        problems = await self._run(drive)
        if not drive.reached:
            if problems:
                self._blame(problems)
            elif again is None:
                self.not_reached.append(number)
            return None
        if again is None or drive.again_place is not None:
            self.visits.append(
                Visit(
                    point=number,
                    what="cancelled",
                    place=drive.place,
                    child=drive.child,
                    again=drive.again_place,
                    problems=problems,
                )
            )
        return drive

    async def _run(self, drive: Drive) -> tuple[str, ...]:
        self.rewind()
        async with Remains(self.grace, self.ignore) as remains:
            task = drive.start(self.make_coroutine)
            try:
                await ended(task, self._limit, drive.waits_at)
                problems = self._ending(drive, task)
            except HungError as hung:
                problems = (f"it did not end within {self._limit:.3g} s: it waits at {hung}",)
        problems += remains.problems
        if drive.reached:
            problems += unexpected() + await failed_check(self.check)
        return problems

    def _ending(self, drive: Drive, task: asyncio.Task[Any]) -> tuple[str, ...]:
        error = outcome_of(task)
        if not drive.reached:
            return () if error is None else (f"it failed: {said(error)}",)
        if isinstance(error, asyncio.CancelledError) or (error is None and self.allow_completion):
            return ()
        if error is not None:
            return (f"the cancellation came out as {said(error)}",)
        return (f"the cancellation was swallowed: it went on and returned {task.result()!r:.80}",)

    def _blame(self, problems: tuple[str, ...]) -> None:
        """Put down to the last visit what the next run met before anything was done to it."""
        what = "\n".join(problems)
        text = f"after this the code does not run any more, as when a lock is still held:\n  {what}"
        if not self.visits:
            self.visits.append(Visit(point=0, what="run a second time", problems=problems))
        else:
            self.visits[-1] = replace(self.visits[-1], problems=(*self.visits[-1].problems, text))
        self.broken_off = "The sweep stopped there: nothing that comes later could be judged."
