"""``sweep_cancellation``: one run for each place where a coroutine can be cancelled.

It plans the runs and judges how each of them ended.

Theory of operation: the first run is not cancelled and counts the points. Then comes one run for each point. A run that
is cancelled may wait again while it cleans up; for each new pair of point and place in the clean-up comes one more run,
which is cancelled at both. The last run is not cancelled again: it finds what no single run shows, such as a lock that
the cancelled code still holds. Playbooks are restored before each run, so that every run finds the scripts that the
first one found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from pytest_mockstream._base.loops import clock_of, running_loop

from .jobs import in_this_loop
from .leak_watch import LeakWatch
from .positions import Position
from .probe import Job, Jobs, ProbedRun
from .problem import CLEAN_UP, Problem, error_text, hung
from .result import SweepResult, Visit
from .runs import HungError, SavedScripts, failed_check, raise_or_warn, saved_scripts, wait_for_end
from .settings import TRIES, Settings, SweepKeywords, flag, function_of, name_of, settings_of, shares_keywords
from .told import sweep_told, tell_run, tell_verdict


@shares_keywords
async def sweep_cancellation(
    make_coroutine: Callable[[], Awaitable[Any]],
    *,
    again: bool = True,
    late: bool = False,
    **keywords: Unpack[SweepKeywords],
) -> SweepResult:
    """Run a coroutine once for each place where it can be cancelled, and check how each run ends.

    After each run, no task, thread or stream that it started may be left, the ``CancelledError`` (trio's ``Cancelled``)
    must have come out of the coroutine, and ``check()`` must hold.

    Args:
        make_coroutine: called once for each run, returns the coroutine: ``lambda: chat(client)``.
        again: also cancel a second time where the clean-up waits, once for each pair of places. On trio the first
            cancellation lasts: there is no second one.
        late: cancel just after what is awaited has arrived and before the code gets to see it, which must not lose it.
            Default: cancel as soon as the code waits.
        check: called after each cancelled run, and awaited if it returns an awaitable; it fails by raising or by
            returning False.
        allow_completion: a run may also swallow its cancellation and complete.
        grace: how long to wait for what a run left behind to end by itself: seconds, or text such as ``"50ms"``.
        ignore: names of tasks or threads, or of functions on their stacks, that are meant to go on; regular
            expressions, as for ``leak_check``.
        point: visit only the point with this number, from 1.
        max_points: visit at most so many points, evenly spread from the first to the last; None visits all. A sweep
            that leaves out points without having been told to warns.
        patience: how much longer than the first run another may take: seconds of the loop's clock, or text.
        progress: called after each point with how many are done and how many there are. Without it, a long sweep logs
            its progress to ``pytest_mockstream.sweep``.

    Returns:
        What every run found; ``print`` it for a table.

    Raises:
        SweepError: a run ended badly; the message names every such place.
        ScriptError: the value of an argument is not legal.
        TypeError: ``make_coroutine`` is not a function that returns an awaitable, or a keyword is not known.
        Exception: whatever the first run, which is not cancelled, raises.
    """
    settings = settings_of(sweep_cancellation, keywords)
    function = function_of(make_coroutine, "make_coroutine")
    again, late = flag(again, "again"), flag(late, "late")
    with saved_scripts() as scripts, sweep_told("cancel", f"sweep_cancellation of {name_of(function)}"):

        async def result(jobs: Jobs) -> SweepResult:
            return await _Sweep(
                make_coroutine=function, settings=settings, again=again, late=late, scripts=scripts, jobs=jobs
            ).result()

        return raise_or_warn(await in_this_loop(result), settings)


@dataclass(slots=True, kw_only=True)
class _Sweep:
    """One call of ``sweep_cancellation``, and what it has found so far."""

    make_coroutine: Callable[[], Awaitable[Any]]
    settings: Settings
    again: bool
    late: bool
    scripts: SavedScripts
    jobs: Jobs
    points: int = 0
    limit: float = 0.0  # seconds that a run may take
    visits: list[Visit] = field(default_factory=list)
    pairs: set[tuple[Position, Position]] = field(default_factory=set)
    not_reached: list[int] = field(default_factory=list)
    later_points: set[int] = field(default_factory=set)
    stopped: str = ""

    @property
    def title(self) -> str:
        return f"sweep_cancellation of {name_of(self.make_coroutine)}"

    async def result(self) -> SweepResult:
        """Do all runs, and return what they found."""
        try:
            first_is_clean = await self._count_points()
        finally:
            self.scripts.keep_record()
        numbers = self.settings.chosen(self.points)
        if first_is_clean:
            await self._visit_all(numbers)
        other = self.later_points - {self.points}
        return SweepResult(
            title=self.title,
            points=self.points,
            visits=tuple(self.visits),
            left_out=self.points - len(numbers),
            left_out_note=self.settings.left_out(self.points),
            not_reached=tuple(self.not_reached),
            later_points=(min(other), max(other)) if other else None,
            broken_off=self.stopped,
        )

    async def _count_points(self) -> bool:
        """Do the first run, and return whether it left nothing behind; what it raises goes to the caller."""
        clock = clock_of(running_loop())
        began = clock()
        run = ProbedRun()
        tell_run()
        async with LeakWatch(self.settings, run) as watch:
            job = self.jobs.start(run, self.make_coroutine)
            await wait_for_end(run, None)
            self.limit = clock() - began + self.settings.patience
        job.result()
        self.points = run.count
        tell_verdict("the first run, which is not cancelled", watch.problems)
        if watch.problems:
            what = "the first run, which is not cancelled:"
            self.visits.append(Visit(point=0, what=what, problems=watch.problems))
        return not watch.problems

    async def _visit_all(self, numbers: Sequence[int]) -> None:
        for number in self.settings.with_progress(numbers, self.title):
            await self._visit(number)
            if self.stopped:
                return
        await self._check_it_still_runs()

    async def _visit(self, number: int) -> None:
        """Cancel it at a point, then also at each place where its clean-up waited that is new for this position."""
        run = await self._reach(number)
        if not self.again or not run.raised_cancelled:
            return
        for in_cleanup, suspension in run.cleanup.items():
            if (run.position, in_cleanup) not in self.pairs:
                self.pairs.add((run.position, in_cleanup))
                await self._cancel_at(number, again=suspension)

    async def _reach(self, number: int) -> ProbedRun:
        """Cancel it at a point, in another try where the run took another path; return the last try."""
        for _ in range(TRIES):
            run = await self._cancel_at(number)
            if run.reached or self.stopped:
                return run
        self.not_reached.append(number)
        return run

    async def _cancel_at(self, number: int, *, again: int | None = None) -> ProbedRun:
        """Do one run, cancelled at a point and perhaps at a later suspension, and note what was wrong with it."""
        run = ProbedRun(number, again=again, late=self.late)
        problems = await self._execute(run)
        if not run.reached:
            self._note_uncancelled(run, problems)
        elif again is None or run.second_place is not None:
            if again is not None:
                problems = tuple(replace(problem, hint=CLEAN_UP) if problem.leaks else problem for problem in problems)
            visit = Visit(
                point=number,
                what="cancelled",
                place=run.place,
                child=run.child,
                again=run.second_place,
                problems=problems,
            )
            self.visits.append(visit)
            tell_verdict(visit.name, problems, f"point={number}", run.place)
        return run

    async def _check_it_still_runs(self) -> None:
        """Do the last run, which is not cancelled: it shows what the cancelled ones have spoilt."""
        run = ProbedRun()
        self._note_uncancelled(run, await self._execute(run))

    def _note_uncancelled(self, run: ProbedRun, problems: tuple[Problem, ...]) -> None:
        """Blame what a run met before anything was done to it on the last visit, and stop."""
        tell_verdict("a later run, which is not cancelled", problems)
        if not problems:
            self.later_points.add(run.count)
            return
        what = "\n".join(map(str, problems)).replace("\n", "\n  ")
        if not self.visits:
            self.visits.append(Visit(point=0, what="a second run, which is not cancelled:", problems=problems))
        else:
            text = f"after this the code does not run any more, as when a lock is still held:\n  {what}"
            last = self.visits[-1]
            self.visits[-1] = replace(last, problems=(*last.problems, Problem(text)))
        self.stopped = "The sweep stopped there: nothing that comes later could be judged."

    async def _execute(self, run: ProbedRun) -> tuple[Problem, ...]:
        """Do one run with the scripts of the first, and return what was wrong with it."""
        self.scripts.rewind()
        tell_run()
        async with LeakWatch(self.settings, run) as watch:
            job = self.jobs.start(run, self.make_coroutine)
            try:
                await wait_for_end(run, self.limit)
                problems = self._judge(run, job)
            except HungError as error:
                problems = (hung(self.limit, str(error), deadlock=error.deadlock),)
        problems += watch.problems
        if run.reached:
            problems += self.scripts.asked_more() + await failed_check(self.settings.check)
        return problems

    def _judge(self, run: ProbedRun, job: Job) -> tuple[Problem, ...]:
        error = job.error()
        if not run.reached:
            return () if error is None else (Problem(f"it failed: {error_text(error)}"),)
        run.raised_cancelled = job.was_cancelled()
        may_complete = self.settings.allow_completion or not job.saw_cancellation()
        if run.raised_cancelled or (error is None and may_complete):
            return ()
        if error is not None:
            return (Problem(f"the cancellation was replaced by {error_text(error)}", hint=self.jobs.swallowed),)
        text = "the cancellation was swallowed: it went on and returned "
        return (Problem(text, f"{job.result()!r:.80}", hint=self.jobs.swallowed),)
