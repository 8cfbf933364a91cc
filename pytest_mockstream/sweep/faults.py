"""``sweep_faults``: one run for each place where a stream can break, and each way to break.

It plans the runs of code in an event loop; ``BreakPlan`` says what breaks where and judges how a run ended.

Theory of operation: in the first run the streams are whole, and it tells which scripts are played and how many chunks
of each are read. Then comes one run for each fault and each of these chunks: a chunk that the code under test does not
read cannot fail it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Unpack

from pytest_mockstream._base.clock import clock_of
from pytest_mockstream.script.steps import Fault

from .break_plan import BreakPlan
from .broken import DEFAULT_FAULTS, Break, StandIn, faults_of, installed
from .leak_watch import LeakWatch
from .probe import ProbedRun, probing_tasks
from .problem import Problem, hung
from .result import SweepResult
from .runs import HungError, SavedScripts, error_of, failed_check, raise_or_warn, saved_scripts, wait_for_end
from .settings import TRIES, SweepKeywords, function_of, name_of, settings_of, shares_keywords


@shares_keywords
async def sweep_faults(
    make_coroutine: Callable[[], Awaitable[Any]],
    client: object,
    *,
    faults: Iterable[Fault | type[Fault]] = DEFAULT_FAULTS,
    raises: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    **keywords: Unpack[SweepKeywords],
) -> SweepResult:
    """Run a coroutine once for each place where a stream that it reads can break, in each way, and check how it ends.

    A run that completes has taken a broken stream for a whole one: that is the failure looked for. After each run, no
    task, thread or stream that it started may be left, and ``check()`` must hold.

    Args:
        make_coroutine: called once for each run, returns the coroutine: ``lambda: chat(client)``.
        client: whose scripts break: a ``MockStreamClient``, or what another door's fixture gave. Each of its scripts
            that the first run plays is broken in turn; a request that asks the same again gets the whole script.
        faults: the ways to break, as classes or with their settings: ``Stall(2)``, ``ErrorEvent("overloaded")``,
            ``HTTPError(503)`` (before the first chunk only).
        raises: what the code under test must end in. A failed assertion counts only if it is named here.
        **keywords: those that all sweeps share; ``help(sweep_cancellation)`` describes each. Set
            ``allow_completion=True`` where the code is meant to retry or to keep what had arrived, and let ``check``
            look at the outcome. ``patience`` ends a run that waits for a stalled stream without a timeout of its own.

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
    title = f"sweep_faults of {name_of(function)}"
    plan = BreakPlan(title=title, client=client, faults=faults_of(faults), raises=raises, settings=settings)
    with saved_scripts() as scripts, probing_tasks():
        return raise_or_warn(await _Sweep(function, plan, scripts).result())


@dataclass(slots=True)
class _Sweep:
    make_coroutine: Callable[[], Awaitable[Any]]
    plan: BreakPlan
    scripts: SavedScripts
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
        clock = clock_of(asyncio.get_running_loop())
        stand_in, began, run = StandIn(), clock(), ProbedRun()
        with installed(self.plan.playbook, stand_in):
            async with LeakWatch(self.plan.settings) as watch:
                task = run.start(self.make_coroutine)
                await wait_for_end(task, None, run.waits_at)
                self.limit = clock() - began + self.plan.settings.patience
        task.result()
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
        with installed(self.plan.playbook, stand_in):
            async with LeakWatch(self.plan.settings) as watch:
                task: asyncio.Task[Any] = run.start(self.make_coroutine)
                try:
                    await wait_for_end(task, self.limit, run.waits_at)
                    error = error_of(task)
                    problems = self.plan.judge(at, error, None if error is not None else task.result())
                except HungError as error:
                    problems = (hung(self.limit, str(error), at.fault),)
        if stand_in.reached:
            problems += watch.problems + self.scripts.asked_more() + await failed_check(self.plan.settings.check)
            self.plan.add_visit(number, at, stand_in, problems)
        return stand_in.reached
