"""Does the runs of ``sweep_orders``, and judges how each of them ended.

Theory of operation: all runs are done in one loop. The first run makes no decision and is no order of its own: the code
under test may take another path the first time. Whatever it raises goes to the caller. An order that fails is shrunk,
and then run once more to be told in words, which costs too much to do it for each.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from math import floor, inf, log10
from types import TracebackType
from typing import Any

from pytest_mockstream._base.callsite import CallSite, is_library
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.wording import counted
from pytest_mockstream.playbook.playbook import STAND_IN

from .arrival_loop import ArrivalLoop
from .arrivals import Arrivals
from .deadlock import deadlock, signature_of
from .leak_watch import LeakWatch
from .order_result import FailedOrder, OrdersResult, arrived_of, listed, story_of
from .order_search import Deviations, Search, Tape, shrunk, token_of
from .order_settings import OrderSettings
from .positions import describe
from .probe import coroutine_of
from .problem import ASSERTED, NEVER_ENDED, SWALLOWED, Problem, error_text, reported_success
from .runs import SavedScripts, failed_check
from .told import tell_run, tell_verdict

_MOST_SLOW = 3  # runs that wait for nothing in real time
_MOST_TOLD = 5  # failures
_IN_FULL = 1e9  # estimates below are written out
_NUMBERS = re.compile(r"\d+")
_OTHER_LOOP = re.compile("different (event )?loop|attached to a different")


@dataclass(slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        order: what it did.
        problems: what was wrong.
        error: what came out of it.
        signature: equal for runs that failed in the same way.
        is_slow: whether it waited for something in real time, in vain.
        arrivals: what came.
    """

    order: Deviations
    problems: tuple[Problem, ...]
    error: BaseException | None
    signature: tuple[str, ...]
    is_slow: bool
    arrivals: Arrivals


@dataclass(slots=True, kw_only=True)
class OrderSweep:
    """One call of ``sweep_orders``, and what it has found so far."""

    make_coroutine: Callable[[], Awaitable[Any]]
    title: str
    settings: OrderSettings
    scripts: SavedScripts
    loop: ArrivalLoop
    search: Search
    driver: asyncio.Task[Any] | None = None
    failures: dict[tuple[str, ...], tuple[Outcome, int]] = field(default_factory=dict)
    unsteady: int = 0
    slow: int = 0
    broken_off: str = ""

    async def result(self) -> OrdersResult:
        """Do all runs, and return what they found."""
        self.driver = asyncio.current_task()
        self.loop.set_exception_handler(_OnceEach())
        first = await self._first_run()
        for number, tape in enumerate(self.search.tapes(), 1):
            outcome = await self._run(tape)
            self._note(tape, outcome)
            tell_verdict(f"order {number}", outcome.problems, _alone(outcome))
            if self.settings.shared.progress is not None:
                self.settings.shared.progress(self.search.tried, self.search.budget)
            if self.failures and self.search.is_at_remembered:
                self.broken_off = "What failed last time was tried first; the others are when that passes."
                break
            if self.slow >= _MOST_SLOW:
                self.broken_off = "The sweep stopped there: each such run takes real time."
                break
        if first.problems:
            self.failures.setdefault(first.signature, (first, 1))
        found = [*self.failures.values()]
        bad = [await self._told(outcome, count) for outcome, count in found[:_MOST_TOLD]]
        bad += [_failed(outcome, count) for outcome, count in found[_MOST_TOLD:]]
        return OrdersResult(
            title=self.title,
            orders=self.search.tried,
            is_complete=self.search.is_complete,
            coverage=self._coverage(),
            bad=tuple(bad),
            unsteady=self.unsteady,
            reads_sockets=self.loop.reads_sockets,
            broken_off=self.broken_off,
        )

    async def result_of(self, order: Deviations) -> OrdersResult:
        """Run one order alone.

        Raises:
            ScriptError: the code under test does not come to it.
        """
        self.driver = asyncio.current_task()
        for _ in range(2):  # the code under test may take another path the first time
            tape = Tape(order)
            outcome = await self._run(tape, explains=True)
            if tape.fits:
                break
        self.scripts.keep_record()
        tell_verdict(_story(outcome), outcome.problems, _alone(outcome))
        token = token_of(order)
        if not tape.fits:
            msg = (
                f"order={token!r}: the code under test does not come to it any more. An order is good for the same"
                " code, scripts and keywords only; run the sweep without order= to see which fail now"
            )
            raise ScriptError(msg) from outcome.error
        return OrdersResult(
            title=self.title,
            orders=1,
            is_complete=False,
            coverage=f'one order (order="{token}")',
            bad=(_failed(outcome, 1),) if outcome.problems else (),
        )

    async def _first_run(self) -> Outcome:
        """Do a run that is no order of its own, for the code under test may take another path the first time.

        Raises:
            BaseException: whatever it raises, with what had come until then.
        """
        try:
            first = await self._run(Tape())
        finally:
            self.scripts.keep_record()
        tell_verdict("the first run, in which everything comes by default", first.problems)
        error = first.error
        if error is None or not first.problems:
            return first
        told = (await self._run(Tape(), explains=True)).arrivals.events
        if told:
            error.add_note(f"sweep_orders: so far had come, by default: {listed(arrived_of(told))}.")
        if isinstance(error, RuntimeError) and _OTHER_LOOP.search(str(error)):
            error.add_note("sweep_orders runs it in a loop of its own: make in make_coroutine what belongs to a loop.")
        raise error

    def _note(self, tape: Tape, outcome: Outcome) -> None:
        self.unsteady += not tape.fits and not self.search.is_at_remembered
        self.slow += outcome.is_slow
        if outcome.problems:
            known, count = self.failures.get(outcome.signature, (outcome, 0))
            self.failures[outcome.signature] = known, count + 1

    async def _told(self, outcome: Outcome, count: int) -> FailedOrder:
        """Shrink an order that failed, and run it once more to tell it."""
        first = await self._run(Tape(outcome.order), explains=True)
        if first.signature != outcome.signature:
            note = "When it was run once more, it did not fail like that: the code is not the same each time."
            return replace(_failed(outcome, count), note=note)
        if first.is_slow:
            return _failed(first, count)

        async def fails(other: Deviations) -> Deviations | None:
            outcome = await self._run(Tape(other))
            return outcome.order if outcome.signature == first.signature else None

        shortest = await shrunk(outcome.order, fails)
        last = await self._run(Tape(shortest), explains=True)
        if last.signature != first.signature:
            return _failed(first, count)
        tell_verdict(_story(last), last.problems, _alone(last))
        return _failed(last, count)

    def _coverage(self) -> str:
        search = self.search
        if search.is_complete:
            return f"all {search.tried:,} orders tried" if search.tried > 1 else "the one order tried"
        parts = []
        if search.deviations:
            parts.append(f"all with up to {counted(search.deviations, 'deviation')} from the first")
        if search.beyond:
            parts.append(f"{search.beyond:,} with {counted(search.deviations + 1, 'deviation')}")
        if search.sampled:
            parts.append(f"{search.sampled:,} at random (seed {search.seed})")
        tried = f"{search.tried:,}{_about(search.estimate)} orders tried"
        return f"{tried}: {', '.join(parts)}; the others were left out (max_orders={search.budget})" if parts else tried

    async def _run(self, tape: Tape, *, explains: bool = False) -> Outcome:
        """Do one run in the order of a tape."""
        self.scripts.rewind()
        tell_run()
        stuck: list[Problem] = []

        def on_stuck(why: str) -> None:
            tasks = asyncio.all_tasks(self.loop) - {self.driver}
            problem = Problem(why, hint=NEVER_ENDED) if why else (deadlock if explains else signature_of)(tasks)
            stuck.append(problem)

        arrivals = Arrivals(
            self.loop,
            tape,
            self.settings.choosing,
            patience=self.settings.shared.patience,
            on_stuck=on_stuck,
            explains=explains,
        )
        self.loop.on_idle = arrivals.on_idle
        async with LeakWatch(self.settings.shared) as watch:
            context = copy_context()  # the watch knows by its context what belongs to the run
            context.run(STAND_IN.set, arrivals)
            made = context.run(self.make_coroutine)
            task = self.loop.create_task(coroutine_of(made), context=context, name="main")
            del made
            await arrivals.watch(task)
            error, returned = _ended(task)
            del task
        problems = tuple(stuck) or self._judge(arrivals, error, returned)
        problems += watch.problems + self.scripts.asked_more() + await failed_check(self.settings.shared.check)
        self.loop.forget_rest()
        return Outcome(
            order=tape.order,
            problems=problems,
            error=None if stuck else error,
            signature=(*_site_text(error, problems), *(_NUMBERS.sub("N", p.text.partition("\n")[0]) for p in problems)),
            is_slow=any(problem.hint is NEVER_ENDED for problem in stuck),
            arrivals=arrivals,
        )

    def _judge(self, arrivals: Arrivals, error: BaseException | None, returned: object) -> tuple[Problem, ...]:
        if error is None:
            if self.settings.shared.allow_completion:
                return ()
            if arrivals.cancelled:
                text = "the cancellation was swallowed: it went on and returned "
                return (Problem(text, f"{returned!r:.80}", hint=SWALLOWED),)
            return () if arrivals.fault is None else (reported_success(arrivals.fault, returned),)
        if isinstance(error, self.settings.raises) or (
            arrivals.cancelled and isinstance(error, asyncio.CancelledError)
        ):
            return ()
        broke = arrivals.fault is not None and isinstance(error, Exception)
        if broke and not self.settings.raises and not isinstance(error, AssertionError):
            return ()
        site = _site(error)
        where = f"\n  at {describe(site)}" if site is not None else ""
        hint = ASSERTED if broke and isinstance(error, AssertionError) else ""
        return (Problem(f"it failed: {error_text(error)}{where}", hint=hint),)


class _OnceEach:
    """Lets a loop complain of each thing once: many orders have the same errors in tasks that nobody awaits."""

    def __init__(self) -> None:
        self._said: set[tuple[object, ...]] = set()

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = (context.get("message"), type(error), str(error))
        if what not in self._said:
            self._said.add(what)
            loop.default_exception_handler(context)


def _about(estimate: float) -> str:
    """Return an estimate with two digits, in words; "" for none."""
    if not 0 < estimate < inf:
        return ""
    digits = 1 - floor(log10(estimate))
    return f" of about {round(estimate, digits):,.0f}" if estimate < _IN_FULL else f" of about {estimate:.1e}"


def _ended(task: asyncio.Task[Any]) -> tuple[BaseException | None, object]:
    if not task.done() or task.cancelled():
        return asyncio.CancelledError(), None
    error = task.exception()
    return (None, task.result()) if error is None else (error, None)


def _alone(outcome: Outcome) -> str:
    return f'order="{token_of(outcome.order)}"'


def _story(outcome: Outcome) -> str:
    return "; ".join(story_of(outcome.arrivals.events)) or "everything comes by default"


def _failed(outcome: Outcome, count: int) -> FailedOrder:
    return FailedOrder(
        order=token_of(outcome.order),
        story=story_of(outcome.arrivals.events),
        arrived=arrived_of(outcome.arrivals.events),
        problems=outcome.problems,
        orders=count,
    )


def _site(error: BaseException) -> CallSite | None:
    """Return the innermost line of the user's that an exception went through."""
    found: CallSite | None = None
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not is_library(code.co_filename):
            found = CallSite(code.co_filename, trace.tb_lineno, code.co_qualname)
        trace = trace.tb_next
    return found


def _site_text(error: BaseException | None, problems: tuple[Problem, ...]) -> tuple[str, ...]:
    if error is None or not problems or isinstance(error, asyncio.CancelledError):
        return ()
    return type(error).__name__, str(_site(error))
