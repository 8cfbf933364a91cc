"""``sweep_threads``: the sweep for code that reads its streams with ``for``.

The wall: plans the runs and judges them. Code in a thread cannot be cancelled; what can happen to it is that its stream
breaks, or that another thread closes or cancels the stream that it reads.

Theory of operation: each run has a thread of its own, so that one that hangs can be told. For the deeds of another
thread the script has a gate before the chunk: there the reader has read all that came before and waits, and this thread
acts.
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
from pytest_mockstream.leaks import frames_of_thread
from pytest_mockstream.playbook.ledger import Request
from pytest_mockstream.script.steps import Fault

from .broken import DEFAULT_FAULTS, Break, Leaving, StandIn, Trouble, fault_of, faults_of, standing
from .faults import Breaking
from .left import Remains, end_stream
from .places import described, own_line
from .problem import Problem, hung
from .result import SweepResult
from .runs import Scripts, failed_sync_check, rewound, told
from .settings import TRIES, SweepKeywords, function_of, name_of, settings_of, shares_keywords

_ENDED_BY_SWEEP = 1.0
DEFAULT_TROUBLES: tuple[Trouble | Leaving, ...] = ("close", "cancel", *DEFAULT_FAULTS)


@shares_keywords
def sweep_threads(
    function: Callable[[], object],
    client: object,
    *,
    faults: Iterable[Trouble | Leaving] = DEFAULT_TROUBLES,
    raises: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    **keywords: Unpack[SweepKeywords],
) -> SweepResult:
    """Run a function once for each place where the streams it reads can end before their time, and look how it ends.

    Args:
        function: is called once for each run, in a thread of its own.
        client: whose scripts break; see ``sweep_faults``.
        faults: as for ``sweep_faults``; and ``"close"`` and ``"cancel"``: another thread does that to the stream while
            its reader waits for a chunk. A stream that was closed just ends, so there completing is no failure.
        raises: what the function must end in. A failed assertion counts only if it is named here.
        **keywords: what all sweeps share, described by ``sweep_cancellation``; ``check`` is not awaited here, and
            ``patience`` is in seconds of real time.

    Returns:
        What was visited; ``print`` it for a table.

    Raises:
        SweepError: something was wrong; it names every bad place.
        ScriptError: the value of an argument is not legal, or the first run read no stream of this client.
        TypeError: ``function`` is not a function, or is an async one, or a keyword is not known.
    """
    settings = settings_of(sweep_threads, keywords)
    breaking = Breaking(client, faults_of(faults, trouble_of), raises, settings)
    with rewound() as scripts:
        return told(_Sweep(function_of(function, "function"), breaking).run(scripts))


def trouble_of(trouble: object) -> Fault | Leaving:
    """Return what may befall a stream that a thread reads.

    Raises:
        ScriptError: it is neither a fault nor what another thread may do.
    """
    if trouble == "close" or trouble == "cancel":
        return trouble
    if isinstance(trouble, str):
        msg = f"faults: {trouble!r} is not known; give 'close', 'cancel' or a fault"
        raise ScriptError(msg)
    return fault_of(trouble)


class _Worker:
    """Calls the function in a thread, and keeps what came of it.

    It has a thread and is none: each new Python gives its ``Thread`` more attributes, private ones among them.
    """

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._context = copy_context()
        self.returned: object = None
        self.error: BaseException | None = None
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="mockstream sweep", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.returned = self._context.run(self._function)
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()


@dataclass(slots=True)
class _Sweep:
    function: Callable[[], object]
    breaking: Breaking
    limit: float = 0.0

    def run(self, scripts: Scripts) -> SweepResult:
        """Do all runs, and return what they found."""
        breaking = self.breaking
        try:
            problems, played = self._run_plain()
        finally:
            scripts.keep()
        for number, place in breaking.plan(f"sweep_threads of {name_of(self.function)}", played, problems):
            for _ in range(TRIES):
                if self._visit(number, place, scripts):
                    break
            else:
                breaking.missed(number)
        return breaking.result()

    def _run_plain(self) -> tuple[tuple[Problem, ...], StandIn]:
        """Run it once with whole streams; what it raises is the caller's to see."""
        stand_in, began = StandIn(), monotonic()
        with standing(self.breaking.playbook, stand_in), Remains(self.breaking.settings) as remains:
            worker = _Worker(self.function)
            worker.thread.join()
            self.limit = monotonic() - began + self.breaking.settings.patience
        if worker.error is not None:
            raise worker.error
        if inspect.iscoroutine(worker.returned):
            worker.returned.close()
            msg = f"{name_of(self.function)} is async: sweep it with sweep_cancellation or sweep_faults"
            raise TypeError(msg)
        return remains.problems, stand_in

    def _visit(self, number: int, place: Break, scripts: Scripts) -> bool:
        """Run it with one stream troubled, and note what came of it; return whether it came by there."""
        scripts.rewind()
        stand_in = StandIn(place.script, place.answer)
        with standing(self.breaking.playbook, stand_in), Remains(self.breaking.settings) as remains:
            worker = _Worker(self.function)
            problems = self._until_over(worker, place, stand_in, remains.opened)
        if stand_in.met:
            problems += remains.problems + scripts.asked_more() + failed_sync_check(self.breaking.settings.check)
            self.breaking.visited(number, place, stand_in, problems)
        return stand_in.met

    def _until_over(
        self, worker: _Worker, place: Break, stand_in: StandIn, opened: list[Request]
    ) -> tuple[Problem, ...]:
        deadline = monotonic() + self.limit
        if isinstance(place.fault, str):
            _leave(worker, place.fault, stand_in, deadline)
        if worker.over.wait(max(0.0, deadline - monotonic())):
            worker.thread.join()
            return self.breaking.ending(place, worker.error, worker.returned)
        problem = hung(self.limit, described(own_line(frames_of_thread(worker.thread))), place.fault)
        for request in opened:
            end_stream(request, "cancel")
        if not worker.over.wait(_ENDED_BY_SWEEP):
            self.breaking.broken_off = "The sweep stopped there: the thread could not be ended."
        return (problem,)


def _leave(worker: _Worker, how: Leaving, stand_in: StandIn, deadline: float) -> None:
    """Wait until the reader stands at the gate, or is over, and end its stream."""
    while not worker.over.is_set() and monotonic() < deadline:
        if stand_in.broken is not None and stand_in.request is not None:
            gate = stand_in.broken.gates[-1]
            try:
                gate.wait_reached(0.02)
            except TimeoutError:
                continue
            end_stream(stand_in.request, how)
            return
        worker.over.wait(0.002)
