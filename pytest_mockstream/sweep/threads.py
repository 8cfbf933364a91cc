"""``sweep_threads``: the sweep for code that reads its streams with ``for``.

It plans the runs of code in a thread. That cannot be cancelled; what can happen to it is that its stream breaks, or
that another thread closes or cancels the stream while it reads.

Theory of operation: each run has a thread of its own, so that one that hangs is noticed. Where another thread is to
act, the script has a gate before the chunk: there the reader has read everything before it and waits, and the thread
that sweeps acts.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Unpack

from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.loops import running_loop
from pytest_mockstream.leaks import frames_of_thread
from pytest_mockstream.playbook.request import Request
from pytest_mockstream.script.steps import Fault

from .break_plan import BreakPlan
from .broken import DEFAULT_FAULTS, Break, Interruption, StandIn, fault_of, faults_of, installed
from .leak_watch import LeakWatch, end_stream
from .outcomes import OutcomeWatch
from .positions import describe, first_user_line
from .problem import Problem, hung
from .result import SweepResult
from .runs import SavedScripts, failed_sync_check, raise_or_warn, saved_scripts
from .settings import TRIES, SweepKeywords, function_of, name_of, settings_of, shares_keywords
from .told import sweep_told, tell_run

_LAST_WAIT = 1.0  # seconds for a run that hangs to end after its streams were cancelled
_LOOK_AT_GATE = 0.02  # seconds to wait at the gate before looking whether the run is over
_LOOK_FOR_REQUEST = 0.002  # seconds between two looks whether the reader has asked for the script
_DEFAULT_FAULTS: tuple[Fault | type[Fault] | Interruption, ...] = ("close", "cancel", *DEFAULT_FAULTS)


@shares_keywords
def sweep_threads(
    function: Callable[[], object],
    client: object,
    *,
    faults: Iterable[Fault | type[Fault] | Interruption] = _DEFAULT_FAULTS,
    raises: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    shown: Callable[[], object] | None = None,
    **keywords: Unpack[SweepKeywords],
) -> SweepResult:
    """Run a function once for each place where a stream that it reads can end early, and check how it ends.

    What is checked is what ``sweep_faults`` checks. Nobody but the code under test can say what a stream that another
    thread closes or cancels should lead to: after that, no finding is told.

    Args:
        function: called once for each run, in a thread of its own.
        client: whose scripts break; see ``sweep_faults``.
        faults: as for ``sweep_faults``, and also ``"close"`` and ``"cancel"``: another thread does that to the stream
            while its reader waits for a chunk. A stream that was closed just ends, so completing is right there.
        raises: what the function must end in. A failed assertion counts only if it is named here.
        shown: returns what the user sees at the end of a run, where that is not what the function returns or prints.
        **keywords: those that all sweeps share; ``help(sweep_cancellation)`` describes each. Here ``check`` is never
            awaited, and ``patience`` is in seconds of real time.

    Returns:
        What every run found; ``print`` it for a table.

    Raises:
        SweepError: a run ended badly; the message names every such place.
        ScriptError: the value of an argument is not legal, or the first run read no stream of this client.
        TypeError: ``function`` is not a function or is an async one, or a keyword is not known.
        BaseException: whatever the first run, whose streams are whole, raises.
    """
    settings = settings_of(sweep_threads, keywords)
    if running_loop() is not None:
        raise ScriptError(
            "sweep_threads blocks the event loop that runs here: call it in a test that is not async, or sweep an async"
            " function with sweep_cancellation or sweep_faults"
        )
    function = function_of(function, "function")
    watch = OutcomeWatch(function, None if shown is None else function_of(shown, "shown"))
    title = f"sweep_threads of {name_of(function)}"
    faults = faults_of(faults, thread_fault_of)
    plan = BreakPlan(title=title, client=client, faults=faults, raises=raises, settings=settings)
    with saved_scripts() as scripts, sweep_told("threads", title):
        return raise_or_warn(_Sweep(function, watch, plan, scripts).result(), settings)


def thread_fault_of(value: object) -> Fault | Interruption:
    """Return what can happen to a stream that a thread reads.

    Raises:
        ScriptError: it is neither a fault nor what another thread may do.
    """
    if value == "close" or value == "cancel":
        return value
    if isinstance(value, str):
        msg = f"faults: {value!r} is not known; give 'close', 'cancel' or a fault"
        raise ScriptError(msg)
    return fault_of(value)


class _Worker:
    """Calls the function in a thread, and keeps what came of it.

    It has a thread rather than being one: each new Python gives ``Thread`` more attributes, private ones among them.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._context = copy_context()
        self.returned: object = None
        self.error: BaseException | None = None
        self.finished = threading.Event()
        self.thread = threading.Thread(target=self._run, name="mockstream sweep", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.returned = self._context.run(self._function)
        except BaseException as error:
            self.error = error
        finally:
            self.finished.set()


@dataclass(slots=True)
class _Sweep:
    function: Callable[[], object]
    outcomes: OutcomeWatch
    plan: BreakPlan
    scripts: SavedScripts
    limit: float = 0.0  # seconds that a run may take

    def result(self) -> SweepResult:
        """Do all runs, and return what they found."""
        try:
            first, problems = self._run_whole()
        finally:
            self.scripts.keep_record()
        for number, at in self.plan.breaks(first, problems):
            if not any(self._visit(number, at) for _ in range(TRIES)):
                self.plan.add_unreached(number)
        return self.plan.result()

    def _run_whole(self) -> tuple[StandIn, tuple[Problem, ...]]:
        """Do the first run, with whole streams; what it raises goes to the caller."""
        stand_in, began = StandIn(), monotonic()
        tell_run()
        with installed(self.plan.playbook, stand_in), LeakWatch(self.plan.settings) as watch:
            with self.outcomes.printing():
                worker = _Worker(self.function)
                worker.thread.join()
            self.limit = monotonic() - began + self.plan.settings.patience
        if worker.error is not None:
            raise worker.error
        if inspect.iscoroutine(worker.returned):
            worker.returned.close()
            msg = f"{name_of(self.function)} is async: sweep it with sweep_cancellation or sweep_faults"
            raise TypeError(msg)
        self.outcomes.keep_whole(worker.returned)
        return stand_in, watch.problems

    def _visit(self, number: int, at: Break) -> bool:
        """Do one run with one stream broken, and note what was wrong with it; return whether it reached the break."""
        self.scripts.rewind()
        stand_in = StandIn(at.script, at.answer)
        tell_run()
        printing = self.outcomes.printing()
        with installed(self.plan.playbook, stand_in), LeakWatch(self.plan.settings) as watch, printing:
            worker = _Worker(self.function)
            problems = self._wait_for_end(worker, at, stand_in, watch.opened)
        if stand_in.reached:
            problems += watch.problems + self.scripts.asked_more() + failed_sync_check(self.plan.settings.check)
            self.plan.add_visit(number, at, stand_in, problems)
        return stand_in.reached

    def _wait_for_end(
        self, worker: _Worker, at: Break, stand_in: StandIn, opened: list[Request]
    ) -> tuple[Problem, ...]:
        deadline = monotonic() + self.limit
        if isinstance(at.fault, str):
            _interrupt(worker, at.fault, stand_in, deadline)
        if worker.finished.wait(max(0.0, deadline - monotonic())):
            worker.thread.join()
            return self._judge(worker, at, stand_in, opened)
        problem = hung(self.limit, describe(first_user_line(frames_of_thread(worker.thread))), at.fault)
        for request in opened:
            end_stream(request, "cancel")
        if not worker.finished.wait(_LAST_WAIT):
            self.plan.stopped = "The sweep stopped there: the thread could not be ended."
        return (problem,)

    def _judge(self, worker: _Worker, at: Break, stand_in: StandIn, opened: list[Request]) -> tuple[Problem, ...]:
        problems = self.plan.judge(at, worker.error, worker.returned)
        if isinstance(at.fault, str) or not stand_in.reached:
            return problems
        outcome = self.outcomes.outcome(worker.error, worker.returned)
        may_complete = self.plan.settings.allow_completion
        return problems + self.outcomes.findings(opened, outcome, stand_in.whole_text, may_complete=may_complete)


def _interrupt(worker: _Worker, how: Interruption, stand_in: StandIn, deadline: float) -> None:
    """Wait until the reader has come to the gate or the run is over, and end its stream."""
    while not worker.finished.is_set() and monotonic() < deadline:
        if stand_in.broken is not None and stand_in.request is not None:
            gate = stand_in.broken.gates[-1]
            try:
                gate.wait_reached(_LOOK_AT_GATE)
            except TimeoutError:
                continue
            end_stream(stand_in.request, how)
            return
        worker.finished.wait(_LOOK_FOR_REQUEST)
