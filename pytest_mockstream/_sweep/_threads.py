"""``sweep_threads``: the sweep for code that reads its streams with ``for``.

The wall: plans the runs and judges them. Code in a thread cannot be cancelled; what can happen to it is that its stream
breaks, or that another thread closes or cancels the stream that it reads.

Theory of operation: each run has a thread of its own, so that one that hangs can be told. For the deeds of another
thread the script has a gate before the chunk: there the reader has read all that came before and waits, and this thread
acts.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic

from pytest_mockstream._callsite import CallSite
from pytest_mockstream._exceptions import ScriptError
from pytest_mockstream._ledger import Request
from pytest_mockstream._legal import duration, integer
from pytest_mockstream._playbook import Playbook
from pytest_mockstream._steps import Fault

from ._broken import DEFAULT_FAULTS, Break, Leaving, StandIn, Trouble, breaks, fault_of, playbook_of, standing
from ._faults import Raises, Verdict, silence
from ._left import Remains, end_stream
from ._places import described, own_line
from ._plan import Progress, chosen, told
from ._result import SweepResult, Visit
from ._runs import Check, name_of, rewound, said, unexpected

_ENDED_BY_SWEEP = 1.0
DEFAULT_TROUBLES: tuple[Trouble | Leaving, ...] = ("close", "cancel", *DEFAULT_FAULTS)

_at_least_one = integer(at_least=1)


def sweep_threads(
    function: Callable[[], object],
    client: object,
    *,
    faults: Iterable[Trouble | Leaving] = DEFAULT_TROUBLES,
    raises: Raises = Exception,
    allow_completion: bool = False,
    check: Check | None = None,
    grace: float | str = 0.2,
    ignore: Iterable[str] = (),
    point: int | None = None,
    max_points: int | None = None,
    patience: float | str = 1.0,
    progress: Progress | None = None,
) -> SweepResult:
    """Run a function once for each place where the streams it reads can end before their time, and look how it ends.

    Args:
        function: is called once for each run, in a thread of its own.
        client: whose scripts break; see ``sweep_faults``.
        faults: as for ``sweep_faults``; and ``"close"`` and ``"cancel"``: another thread does that to the stream while
            its reader waits for a chunk. A stream that was closed just ends, so there completing is no failure.
        raises: what the function must end in. A failed assertion counts only if it is named here.
        allow_completion: a run may also complete.
        check: is called after each run; it fails by raising or by returning False.
        grace: the longest to wait for what a run left to end by itself, in seconds.
        ignore: names of tasks or threads, or of functions in their stacks, that are meant to go on; see ``leak_check``.
        point: visit this place alone.
        max_points: visit at most so many, evenly spread.
        patience: how many seconds a run may take longer than the first one.
        progress: is called after each point with how many are done, and how many there are.

    Returns:
        What was visited; ``print`` it for a table.

    Raises:
        SweepError: something was wrong; it names every bad place.
        ScriptError: an argument is not legal.
    """
    result = troubled_threads(
        function,
        client,
        faults=faults,
        raises=raises,
        allow_completion=allow_completion,
        check=check,
        grace=grace,
        ignore=ignore,
        point=point,
        max_points=max_points,
        patience=patience,
        progress=progress,
    )
    result.raise_if_bad()
    return result


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


def troubled_threads(
    function: Callable[[], object],
    client: object,
    *,
    faults: Iterable[Trouble | Leaving] = DEFAULT_TROUBLES,
    raises: Raises = Exception,
    allow_completion: bool = False,
    check: Check | None = None,
    grace: float | str = 0.2,
    ignore: Iterable[str] = (),
    point: int | None = None,
    max_points: int | None = None,
    patience: float | str = 1.0,
    progress: Progress | None = None,
    title: str | None = None,
) -> SweepResult:
    """Do as ``sweep_threads``, and return a bad result, too."""
    kinds = [trouble_of(trouble) for trouble in faults]
    sweep = _Sweep(
        function, playbook_of(client), raises, allow_completion, check, duration(grace, "grace"), tuple(ignore)
    )
    spare = duration(patience, "patience")
    if point is not None:
        _at_least_one(point, "point")
    if max_points is not None:
        _at_least_one(max_points, "max_points")
    title = title or f"sweep_threads of {name_of(function)}"
    with rewound() as scripts:
        try:
            first, stand_in = sweep.run_plain()
        finally:
            scripts.keep()
        if first.problems:
            return SweepResult(title=title, points=0, visits=(first,))
        sweep.limit += spare
        places = breaks(stand_in.played, kinds)
        numbers = chosen(len(places), point=point, max_points=max_points)
        for number in told(numbers, title, progress):
            scripts.rewind()
            sweep.visit(number, places[number - 1])
            if sweep.broken_off:
                break
    return SweepResult(
        title=title,
        points=len(places),
        visits=tuple(sweep.visits),
        left_out=len(places) - len(numbers),
        not_reached=tuple(sweep.not_reached),
        broken_off=sweep.broken_off
        or ("" if places else "There is nothing to break: the first run read no stream of this client."),
    )


class _Worker(threading.Thread):
    """A thread that calls the function and keeps what came of it."""

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__(name="mockstream sweep", daemon=True)
        self._function = function
        self._context = copy_context()
        self.returned: object = None
        self.error: BaseException | None = None
        self.over = threading.Event()

    def run(self) -> None:
        try:
            self.returned = self._context.run(self._function)
        except BaseException as error:
            self.error = error
        finally:
            self.over.set()


@dataclass
class _Sweep:
    function: Callable[[], object]
    playbook: Playbook
    raises: Raises
    allow_completion: bool
    check: Check | None
    grace: float
    ignore: tuple[str, ...]

    def __post_init__(self) -> None:
        self.visits: list[Visit] = []
        self.not_reached: list[int] = []
        self.broken_off = ""
        self.limit = 0.0

    def run_plain(self) -> tuple[Visit, StandIn]:
        """Run it once with whole streams; what it raises is the caller's to see."""
        stand_in, began = StandIn(), monotonic()
        with standing(self.playbook, stand_in), Remains(self.grace, self.ignore) as remains:
            worker = _Worker(self.function)
            worker.start()
            worker.join()
            self.limit = monotonic() - began
        if worker.error is not None:
            raise worker.error
        return Visit(point=0, what="run with whole streams", problems=remains.problems), stand_in

    def visit(self, number: int, place: Break) -> None:
        """Run it with one stream troubled, and note what came of it."""
        stand_in = StandIn(place.script, place.answer)
        with standing(self.playbook, stand_in), Remains(self.grace, self.ignore) as remains:
            worker = _Worker(self.function)
            worker.start()
            problems = self._until_over(worker, place, stand_in, remains.opened)
        problems += remains.problems
        if not stand_in.met:
            self.not_reached.append(number)
            return
        problems += unexpected() + self._failed_check()
        chunk = None if place.chunk is None else place.chunk + 1
        self.visits.append(Visit(point=number, what=place.what, chunk=chunk, place=stand_in.place, problems=problems))

    def _until_over(self, worker: _Worker, place: Break, stand_in: StandIn, opened: list[Request]) -> tuple[str, ...]:
        deadline = monotonic() + self.limit
        if isinstance(place.fault, str):
            _leave(worker, place.fault, stand_in, deadline)
        if worker.over.wait(max(0.0, deadline - monotonic())):
            worker.join()
            lenient = self.allow_completion or place.fault == "close"
            return Verdict(self.raises, lenient).problems(worker.error, worker.returned)
        problem = silence(place, self.limit, _standing_at(worker))
        for request in opened:
            end_stream(request, "cancel")
        if not worker.over.wait(_ENDED_BY_SWEEP):
            self.broken_off = "The sweep stopped there: the thread could not be ended."
        return (problem,)

    def _failed_check(self) -> tuple[str, ...]:
        if self.check is None:
            return ()
        try:
            held = self.check()
        except Exception as error:
            return (f"check() failed: {said(error)}",)
        return ("check() returned False",) if held is False else ()


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


def _standing_at(worker: threading.Thread) -> str:
    sites = []
    frame = sys._current_frames().get(worker.ident or 0)
    while frame is not None:
        sites.append(CallSite(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
        frame = frame.f_back
    return described(own_line(sites))
