"""``sweep_faults``: one run for each place where a stream can break, and each way to break.

It plans the runs of code in an event loop; ``BreakPlan`` says what breaks where and judges how a run ended.

Theory of operation: in the first run the streams are whole, and it tells which scripts are played and how many chunks
of each are read. Then comes one run for each fault and each of these chunks: a chunk that the code under test does not
read cannot fail it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Unpack

from pytest_mockstream._base.loops import clock_of, running_loop
from pytest_mockstream.script.steps import Fault

from .break_plan import BreakPlan
from .broken import DEFAULT_FAULTS, Break, StandIn, faults_of, installed
from .jobs import in_this_loop
from .leak_watch import LeakWatch
from .outcomes import OutcomeWatch
from .probe import Jobs, ProbedRun
from .problem import Problem, hung
from .result import SweepResult
from .runs import HungError, SavedScripts, failed_check, raise_or_warn, saved_scripts, wait_for_end
from .settings import TRIES, SweepKeywords, function_of, name_of, settings_of, shares_keywords
from .told import sweep_told, tell_run


@shares_keywords
async def sweep_faults(
    make_coroutine: Callable[[], Awaitable[Any] | AsyncIterator[Any]],
    client: object,
    *,
    faults: Iterable[Fault | type[Fault]] = DEFAULT_FAULTS,
    raises: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    shown: Callable[[], object] | None = None,
    **keywords: Unpack[SweepKeywords],
) -> SweepResult:
    """Run a coroutine once for each place where a stream that it reads can break, in each way, and check how it ends.

    A run that completes has taken a broken stream for a whole one: that is the failure looked for. After each run, no
    task, thread or stream that it started may be left, ``check()`` must hold, and there may be no finding on how the
    code retries: ``help(MockStreamClient.findings)`` lists them.

    Args:
        make_coroutine: called once for each run, returns the coroutine: ``lambda: chat(client)``. It may also return an
            async iterator, which is read to its end: what it yields is its outcome.
        client: whose scripts break: a ``MockStreamClient``, or what another door's fixture gave. Each of its scripts
            that the first run plays is broken in turn; a request that asks the same again gets the whole script.
        faults: the ways to break, as classes or with their settings: ``Stall(2)``, ``ErrorEvent("overloaded")``,
            ``HTTPError(503)`` (before the first chunk only).
        raises: what the code under test must end in. A failed assertion counts only if it is named here.
        shown: returns what the user sees at the end of a run, where that is not what the coroutine returns or prints:
            a text, or something with texts in it.
        **keywords: those that all sweeps share; ``help(sweep_cancellation)`` describes each. Set
            ``allow_completion=True`` where the code is meant to retry or to keep what had arrived, and let ``check``
            look at the outcome. A broken stream that passes for a whole answer is found all the same. ``patience``
            ends a run that waits for a stalled stream without a timeout of its own.

    Returns:
        What every run found; ``print`` it for a table.

    Raises:
        SweepError: a run ended badly; the message names every such place.
        ScriptError: the value of an argument is not legal, or the first run read no stream of this client.
        TypeError: ``make_coroutine`` is not a function that returns an awaitable, or a keyword is not known.
        Exception: whatever the first run, whose streams are whole, raises.
    """
    settings = settings_of(sweep_faults, keywords)
    function = function_of(make_coroutine, "make_coroutine")
    watch = OutcomeWatch(function, None if shown is None else function_of(shown, "shown"))
    title = f"sweep_faults of {name_of(function)}"
    plan = BreakPlan(title=title, client=client, faults=faults_of(faults), raises=raises, settings=settings)
    with saved_scripts() as scripts, sweep_told("faults", title):
        return raise_or_warn(await in_this_loop(lambda jobs: _Sweep(watch, plan, scripts, jobs).result()), settings)


@dataclass(slots=True)
class _Sweep:
    outcomes: OutcomeWatch
    plan: BreakPlan
    scripts: SavedScripts
    jobs: Jobs
    limit: float = 0.0  # seconds that a run may take

    async def result(self) -> SweepResult:
        """Do all runs, and return what they found."""
        try:
            first, problems = await self._run_whole()
        finally:
            self.scripts.keep_record()
        for number, at in self.plan.breaks(first, problems):
            if not await self._reach(number, at):
                self.plan.add_unreached(number)
        return self.plan.result()

    async def _run_whole(self) -> tuple[StandIn, tuple[Problem, ...]]:
        """Do the first run, with whole streams; what it raises goes to the caller."""
        clock = clock_of(running_loop())
        stand_in, began, run = StandIn(), clock(), ProbedRun()
        tell_run()
        with installed(self.plan.playbook, stand_in):
            async with LeakWatch(self.plan.settings, run) as watch:
                with self.outcomes.printing():
                    job = self.jobs.start(run, self.outcomes.make)
                    await wait_for_end(run, None)
                self.limit = clock() - began + self.plan.settings.patience
        self.outcomes.keep_whole(job.result())
        return stand_in, watch.problems

    async def _reach(self, number: int, at: Break) -> bool:
        """Return whether the break was reached, in another try where the run took another path."""
        for _ in range(TRIES):
            if await self._visit(number, at):
                return True
        return False

    async def _visit(self, number: int, at: Break) -> bool:
        """Do one run with one stream broken, and note what was wrong with it; return whether it reached the break."""
        self.scripts.rewind()
        stand_in, run = StandIn(at.script, at.answer), ProbedRun()
        tell_run()
        with installed(self.plan.playbook, stand_in):
            async with LeakWatch(self.plan.settings, run) as watch:
                outcome = None
                try:
                    with self.outcomes.printing():
                        job = self.jobs.start(run, self.outcomes.make)
                        await wait_for_end(run, self.limit)
                    error = job.error()
                    returned = None if error is not None else job.result()
                    problems = self.plan.judge(at, error, returned)
                    outcome = self.outcomes.outcome(error, returned)
                except HungError as error:
                    problems = (hung(self.limit, str(error), at.fault, error.deadlock),)
        if stand_in.reached and outcome is not None:
            may_complete = self.plan.settings.allow_completion
            problems += self.outcomes.findings(watch.opened, outcome, stand_in.whole_text, may_complete=may_complete)
        if stand_in.reached:
            problems += watch.problems + self.scripts.asked_more() + await failed_check(self.plan.settings.check)
            self.plan.add_visit(number, at, stand_in, problems)
        return stand_in.reached
