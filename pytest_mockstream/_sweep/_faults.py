"""``sweep_faults``: one run for each place where a stream can break, and each way to break.

The wall: plans the runs and judges them; ``BrokenScript`` breaks the stream, ``Remains`` finds what was left.

Theory of operation: the first run is left alone and tells which scripts are played and how many chunks of each are
read. Then comes one run for each fault and each of these chunks: what the code under test does not read, it cannot
miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_mockstream._legal import duration, integer
from pytest_mockstream._playbook import Playbook
from pytest_mockstream._steps import Stall

from ._broken import DEFAULT_FAULTS, Break, StandIn, Trouble, breaks, fault_of, playbook_of, standing
from ._left import Remains
from ._plan import Progress, chosen, told
from ._probe import Drive, children_probed
from ._result import SweepResult, Visit
from ._runs import Check, HungError, Making, ended, failed_check, name_of, outcome_of, rewound, said, unexpected

Raises = type[BaseException] | tuple[type[BaseException], ...]

_at_least_one = integer(at_least=1)


async def sweep_faults(
    make_coroutine: Making,
    client: object,
    *,
    faults: Iterable[Trouble] = DEFAULT_FAULTS,
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
    """Run a coroutine once for each place where its streams can break, in each way, and look how it ends.

    A run that completes took a broken stream for a whole one: that is the failure looked for. After each run nothing it
    started may be running, no stream may be open or have been dropped unclosed, and ``check()`` must hold.

    Args:
        make_coroutine: is called once for each run, and returns the coroutine: ``lambda: chat(client)``.
        client: whose scripts break: a ``MockStreamClient``, or what another door's fixture gave. Each of its scripts
            that the first run plays is broken in turn; a request that asks the same again gets the whole script.
        faults: how, as classes or with their settings: ``Stall(2)``, ``ErrorEvent("overloaded")``, ``HTTPError(503)``
            (before the first chunk only).
        raises: what the code under test must end in. A failed assertion counts only if it is named here.
        allow_completion: a run may also complete, as where retrying or salvaging is meant; let ``check`` look at it.
        check: is called after each broken run, and awaited if need be; it fails by raising or by returning False.
        grace: the longest to wait for what a run left to end by itself, in seconds.
        ignore: names of tasks or threads, or of functions in their stacks, that are meant to go on; see ``leak_check``.
        point: visit this place alone.
        max_points: visit at most so many, evenly spread.
        patience: how many seconds of the loop's time a run may take longer than the first one: a consumer without a
            timeout of its own would wait for ever when its stream stalls.
        progress: is called after each point with how many are done, and how many there are. By default long sweeps tell
            the log ``pytest_mockstream.sweep``.

    Returns:
        What was visited; ``print`` it for a table.

    Raises:
        SweepError: something was wrong; it names every bad place.
        ScriptError: an argument is not legal.
    """
    result = await broken_streams(
        make_coroutine,
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


async def broken_streams(
    make_coroutine: Making,
    client: object,
    *,
    faults: Iterable[Trouble] = DEFAULT_FAULTS,
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
    """Do as ``sweep_faults``, and return a bad result, too."""
    kinds = [fault_of(trouble) for trouble in faults]
    sweep = _Sweep(
        make_coroutine,
        playbook_of(client),
        Verdict(raises, allow_completion),
        check,
        duration(grace, "grace"),
        tuple(ignore),
    )
    spare = duration(patience, "patience")
    if point is not None:
        _at_least_one(point, "point")
    if max_points is not None:
        _at_least_one(max_points, "max_points")
    title = title or f"sweep_faults of {name_of(make_coroutine)}"
    with rewound() as scripts, children_probed():
        try:
            first, stand_in = await sweep.run_plain()
        finally:
            scripts.keep()
        if first.problems:
            return SweepResult(title=title, points=0, visits=(first,))
        sweep.limit += spare
        places = breaks(stand_in.played, kinds)
        numbers = chosen(len(places), point=point, max_points=max_points)
        for number in told(numbers, title, progress):
            scripts.rewind()
            await sweep.visit(number, places[number - 1])
    return SweepResult(
        title=title,
        points=len(places),
        visits=tuple(sweep.visits),
        left_out=len(places) - len(numbers),
        not_reached=tuple(sweep.not_reached),
        broken_off="" if places else "There is nothing to break: the first run read no stream of this client.",
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run with a broken stream may end."""

    raises: Raises
    allow_completion: bool

    def problems(self, error: BaseException | None, returned: object) -> tuple[str, ...]:
        """Return what is wrong with an ending, if anything is."""
        if error is None:
            if self.allow_completion:
                return ()
            return (f"it reported success on a broken stream: it returned {returned!r:.80}",)
        legal = self.raises if isinstance(self.raises, tuple) else (self.raises,)
        if isinstance(error, AssertionError) and not any(issubclass(kind, AssertionError) for kind in legal):
            return (f"an assertion failed: {said(error)}",)
        if isinstance(error, legal):
            return ()
        return (f"it ended in {said(error)}, not in {' or '.join(kind.__name__ for kind in legal)}",)


def silence(place: Break, limit: float, where: str) -> str:
    """Return what to say of a run that did not end."""
    text = f"it did not end within {limit:.3g} s: it waits at {where}"
    if isinstance(place.fault, Stall):
        text += (
            "\n  Nothing of its own ends it when a stream falls silent. Give the read a timeout; if it has one, shorten"
            "\n  it for the test, raise patience=, or run in virtual time."
        )
    return text


@dataclass
class _Sweep:
    make_coroutine: Making
    playbook: Playbook
    verdict: Verdict
    check: Check | None
    grace: float
    ignore: tuple[str, ...]

    def __post_init__(self) -> None:
        self.visits: list[Visit] = []
        self.not_reached: list[int] = []
        self.limit = 0.0

    async def run_plain(self) -> tuple[Visit, StandIn]:
        """Run it once with whole streams; what it raises is the caller's to see."""
        loop = asyncio.get_running_loop()
        stand_in, began, drive = StandIn(), loop.time(), Drive()
        with standing(self.playbook, stand_in):
            async with Remains(self.grace, self.ignore) as remains:
                task = drive.start(self.make_coroutine)
                await ended(task, None, drive.waits_at)
                self.limit = loop.time() - began
        task.result()
        return Visit(point=0, what="run with whole streams", problems=remains.problems), stand_in

    async def visit(self, number: int, place: Break) -> None:
        """Run it with one stream broken, and note what came of it."""
        stand_in, drive = StandIn(place.script, place.answer), Drive()
        with standing(self.playbook, stand_in):
            async with Remains(self.grace, self.ignore) as remains:
                task: asyncio.Task[Any] = drive.start(self.make_coroutine)
                try:
                    await ended(task, self.limit, drive.waits_at)
                    problems = self._ending(task)
                except HungError as hung:
                    problems = (silence(place, self.limit, str(hung)),)
        problems += remains.problems
        if not stand_in.met:
            self.not_reached.append(number)
            return
        problems += unexpected() + await failed_check(self.check)
        chunk = None if place.chunk is None else place.chunk + 1
        self.visits.append(Visit(point=number, what=place.what, chunk=chunk, place=stand_in.place, problems=problems))

    def _ending(self, task: asyncio.Task[Any]) -> tuple[str, ...]:
        error = outcome_of(task)
        return self.verdict.problems(error, None if error is not None else task.result())
