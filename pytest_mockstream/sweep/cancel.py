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
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Unpack

from pytest_mockstream._base.clock import clock_of

from .left import Remains
from .places import Chain
from .probe import Drive, children_probed
from .problem import CLEAN_UP, SWALLOWED, Problem, hung, said
from .result import SweepResult, Visit
from .runs import HungError, Scripts, ended, failed_check, outcome_of, rewound, told
from .settings import TRIES, Settings, SweepKeywords, flag, function_of, name_of, settings_of, shares_keywords


@shares_keywords
async def sweep_cancellation(
    make_coroutine: Callable[[], Awaitable[Any]],
    *,
    again: bool = True,
    late: bool = False,
    **keywords: Unpack[SweepKeywords],
) -> SweepResult:
    """Run a coroutine once for each place where it can be cancelled, and look what is left each time.

    After each run nothing it started may be running, no stream may be open or have been dropped unclosed, the
    cancellation must have come out, and ``check()`` must hold.

    Args:
        make_coroutine: called once for each run, returns the coroutine: ``lambda: chat(client)``.
        again: also cancel a second time where the clean-up waits, once for each pair of places.
        late: cancel just after what is awaited has arrived, and before the code gets to see it: it must not be lost
            then. Default: cancel as soon as the code waits.
        check: called after each cancelled run, and awaited if it returns an awaitable; it fails by raising or by
            returning False.
        allow_completion: a run may also swallow its cancellation and complete.
        grace: how long to wait for what a run left behind to end by itself: seconds, or text such as ``"50ms"``.
        ignore: names of tasks or threads, or of functions on their stacks, that are meant to go on; regular
            expressions, as for ``leak_check``.
        point: visit only the point with this number, from 1.
        max_points: visit at most so many points, evenly spread from the first to the last.
        patience: how much longer than the first run another may take: seconds of the loop's clock, or text.
        progress: called after each point with how many are done and how many there are. Without it, a long sweep logs
            its progress to ``pytest_mockstream.sweep``.

    Returns:
        What was visited; ``print`` it for a table.

    Raises:
        SweepError: something was wrong; it names every bad place.
        ScriptError: the value of an argument is not legal.
        TypeError: ``make_coroutine`` is not a function that returns an awaitable, or a keyword is not known.
    """
    settings = settings_of(sweep_cancellation, keywords)
    sweep = _Sweep(function_of(make_coroutine, "make_coroutine"), settings, again=again, late=late)
    with rewound() as scripts, children_probed():
        return told(await sweep.run(scripts))


class _Sweep:
    def __init__(
        self, make_coroutine: Callable[[], Awaitable[Any]], settings: Settings, *, again: bool, late: bool
    ) -> None:
        self._make_coroutine = make_coroutine
        self._settings = settings
        self._again = flag(again, "again")
        self._late = flag(late, "late")
        self._title = f"sweep_cancellation of {name_of(make_coroutine)}"
        self._points = 0
        self._limit = 0.0
        self._pairs: set[tuple[Chain, Chain]] = set()
        self._visits: list[Visit] = []
        self._not_reached: list[int] = []
        self._later_points: set[int] = set()
        self._broken_off = ""

    async def run(self, scripts: Scripts) -> SweepResult:
        """Do all runs, and return what they found."""
        self._scripts = scripts
        try:
            await self._run_plain()
        finally:
            scripts.keep()
        numbers = self._settings.chosen(self._points)
        if not self._visits:
            for number in self._settings.with_progress(numbers, self._title):
                await self._visit(number)
                if self._broken_off:
                    break
            else:
                await self._run_last()
        other = self._later_points - {self._points}
        return SweepResult(
            title=self._title,
            points=self._points,
            visits=tuple(self._visits),
            left_out=self._points - len(numbers),
            not_reached=tuple(self._not_reached),
            later_points=(min(other), max(other)) if other else None,
            broken_off=self._broken_off,
        )

    async def _run_plain(self) -> None:
        """Run it once and do nothing to it; what it raises is the caller's to see."""
        clock = clock_of(asyncio.get_running_loop())
        began = clock()
        drive = Drive()
        async with Remains(self._settings) as remains:
            task = drive.start(self._make_coroutine)
            await ended(task, None, drive.waits_at)
            self._limit = clock() - began + self._settings.patience
        task.result()
        self._points = drive.count
        if remains.problems:
            what = "left alone, without any cancellation:"
            self._visits.append(Visit(point=0, what=what, problems=remains.problems))

    async def _visit(self, number: int) -> None:
        for _ in range(TRIES):
            drive = await self._cancelled(number)
            if drive.reached or self._broken_off:
                break
        else:
            self._not_reached.append(number)
        if not self._again or not drive.came_out:
            return
        for cleanup, after in drive.cleanup.items():
            if (drive.chain, cleanup) not in self._pairs:
                self._pairs.add((drive.chain, cleanup))
                await self._cancelled(number, again=after)

    async def _run_last(self) -> None:
        """Run it once more, left alone: what cancelled runs have spoilt shows now."""
        problems = await self._run(drive := Drive())
        if problems:
            self._blame(problems)
        else:
            self._later_points.add(drive.count)

    async def _cancelled(self, number: int, *, again: int | None = None) -> Drive:
        drive = Drive(number, again=again, late=self._late)
        problems = await self._run(drive)
        if not drive.reached:
            if problems:
                self._blame(problems)
            else:
                self._later_points.add(drive.count)
        elif again is None or drive.again_place is not None:
            if again is not None:
                problems = tuple(replace(problem, hint=CLEAN_UP) if problem.leaks else problem for problem in problems)
            self._visits.append(
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

    async def _run(self, drive: Drive) -> tuple[Problem, ...]:
        self._scripts.rewind()
        async with Remains(self._settings) as remains:
            task = drive.start(self._make_coroutine)
            try:
                await ended(task, self._limit, drive.waits_at)
                problems = self._ending(drive, task)
            except HungError as error:
                problems = (hung(self._limit, str(error)),)
        problems += remains.problems
        if drive.reached:
            problems += self._scripts.asked_more() + await failed_check(self._settings.check)
        return problems

    def _ending(self, drive: Drive, task: asyncio.Task[Any]) -> tuple[Problem, ...]:
        error = outcome_of(task)
        if not drive.reached:
            return () if error is None else (Problem(f"it failed: {said(error)}"),)
        drive.came_out = isinstance(error, asyncio.CancelledError)
        if drive.came_out or (error is None and self._settings.allow_completion):
            return ()
        if error is not None:
            return (Problem(f"the cancellation came out as {said(error)}", hint=SWALLOWED),)
        text = "the cancellation was swallowed: it went on and returned "
        return (Problem(text, f"{task.result()!r:.80}", hint=SWALLOWED),)

    def _blame(self, problems: tuple[Problem, ...]) -> None:
        """Put down to the last visit what the next run met before anything was done to it."""
        what = "\n".join(map(str, problems)).replace("\n", "\n  ")
        if not self._visits:
            self._visits.append(Visit(point=0, what="run a second time, and left alone:", problems=problems))
        else:
            text = f"after this the code does not run any more, as when a lock is still held:\n  {what}"
            last = self._visits[-1]
            self._visits[-1] = replace(last, problems=(*last.problems, Problem(text)))
        self._broken_off = "The sweep stopped there: nothing that comes later could be judged."
