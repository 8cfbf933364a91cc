"""``sweep_faults``: one run for each place where a stream can break, and each way to break.

The wall: plans the runs and judges them; ``BrokenScript`` breaks the stream, ``Remains`` finds what was left.

Theory of operation: the first run is left alone and tells which scripts are played and how many chunks of each are
read. Then comes one run for each fault and each of these chunks: what the code under test does not read, it cannot
miss.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Unpack

from pytest_mockstream._base.clock import clock_of
from pytest_mockstream._base.errors import ScriptError

from .broken import DEFAULT_FAULTS, Break, StandIn, Trouble, breaks, faults_of, playbook_of, standing
from .left import Remains
from .probe import Drive, children_probed
from .problem import ASSERTED, UNLISTED, Problem, hung, reported_success, said
from .result import SweepResult, Visit
from .runs import HungError, Scripts, ended, failed_check, outcome_of, rewound, told
from .settings import TRIES, Settings, SweepKeywords, function_of, name_of, settings_of, shares_keywords


@shares_keywords
async def sweep_faults(
    make_coroutine: Callable[[], Awaitable[Any]],
    client: object,
    *,
    faults: Iterable[Trouble] = DEFAULT_FAULTS,
    raises: type[BaseException] | tuple[type[BaseException], ...] = Exception,
    **keywords: Unpack[SweepKeywords],
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
        **keywords: what all sweeps share, described by ``sweep_cancellation``. Set ``allow_completion=True`` where the
            code is meant to retry, or to keep what had arrived, and let ``check`` look at what came of it. ``patience``
            also ends a run that waits for a stalled stream without a timeout of its own.

    Returns:
        What was visited; ``print`` it for a table.

    Raises:
        SweepError: something was wrong; it names every bad place.
        ScriptError: the value of an argument is not legal, or the first run read no stream of this client.
        TypeError: ``make_coroutine`` is not a function that returns an awaitable, or a keyword is not known.
    """
    settings = settings_of(sweep_faults, keywords)
    sweep = _Sweep(function_of(make_coroutine, "make_coroutine"), Breaking(client, faults_of(faults), raises, settings))
    with rewound() as scripts, children_probed():
        return told(await sweep.run(scripts))


def raises_of(value: object, name: str = "raises") -> tuple[type[BaseException], ...]:
    """Return the exceptions that code may end in.

    Raises:
        ScriptError: there is none, or something is not an exception class.
    """
    kinds = value if isinstance(value, tuple) else (value,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        msg = f"{name}={value!r}: give an exception class, or a tuple of them"
        raise ScriptError(msg)
    return kinds


class Breaking:
    """Which streams are broken where, and what came of it: all that runs in a loop and runs in a thread share.

    Args:
        client: the door whose scripts break.
        faults: in which ways.
        raises: what the code under test must end in.
        settings: what else was said.
    """

    def __init__(self, client: object, faults: Iterable[Any], raises: object, settings: Settings) -> None:
        self.playbook = playbook_of(client)
        self.settings = settings
        self.broken_off = ""
        self._client = client
        self._faults = tuple(faults)
        self._raises = raises_of(raises)
        self._visits: list[Visit] = []
        self._not_reached: list[int] = []
        self._places: list[Break] = []

    def plan(self, title: str, played: StandIn, problems: tuple[Problem, ...]) -> Iterable[tuple[int, Break]]:
        """Learn from the first run, and yield every place to visit.

        Raises:
            ScriptError: there is nothing to break, or no such point.
        """
        self._title = title
        self._places = breaks(played.played, self._faults)
        if problems:
            self._visits.append(Visit(point=0, what="left alone, with whole streams:", problems=problems))
            return
        if not self._places:
            msg = (
                f"{title}: there is nothing to break, for its first run read no stream of {self._client!r}."
                " Give the client, or the fixture, that the code under test asks, and read what it answers"
            )
            raise ScriptError(msg)
        for number in self.settings.with_progress(self.settings.chosen(len(self._places)), title):
            yield number, self._places[number - 1]
            if self.broken_off:
                return

    def missed(self, number: int) -> None:
        """Note that runs did not come by a place."""
        self._not_reached.append(number)

    def visited(self, number: int, place: Break, at: StandIn, problems: tuple[Problem, ...]) -> None:
        """Note what came of a broken stream."""
        chunk = None if place.chunk is None else place.chunk + 1
        self._visits.append(Visit(point=number, what=place.what, chunk=chunk, place=at.place, problems=problems))

    def ending(self, place: Break, error: BaseException | None, returned: object) -> tuple[Problem, ...]:
        """Return what is wrong with how a run ended, if anything is."""
        if error is None:
            # What another thread closes just ends.
            is_meant = self.settings.allow_completion or place.fault == "close"
            return () if is_meant else (reported_success(place.fault, returned),)
        if isinstance(error, AssertionError) and not any(issubclass(kind, AssertionError) for kind in self._raises):
            return (Problem("an assertion failed: ", said(error).removeprefix("AssertionError: "), ASSERTED),)
        if isinstance(error, self._raises):
            return ()
        legal = " or ".join(kind.__name__ for kind in self._raises)
        return (Problem(f"it ended in {said(error)}, not in {legal}", hint=UNLISTED),)

    def result(self) -> SweepResult:
        """Return everything that was found."""
        count = len(self._places)
        return SweepResult(
            title=self._title,
            points=count,
            visits=tuple(self._visits),
            left_out=count - len(self.settings.chosen(count)),
            not_reached=tuple(self._not_reached),
            broken_off=self.broken_off,
        )


@dataclass(slots=True)
class _Sweep:
    make_coroutine: Callable[[], Awaitable[Any]]
    breaking: Breaking
    limit: float = 0.0

    async def run(self, scripts: Scripts) -> SweepResult:
        """Do all runs, and return what they found."""
        breaking = self.breaking
        try:
            problems, played = await self._run_plain()
        finally:
            scripts.keep()
        for number, place in breaking.plan(f"sweep_faults of {name_of(self.make_coroutine)}", played, problems):
            for _ in range(TRIES):
                if await self._visit(number, place, scripts):
                    break
            else:
                breaking.missed(number)
        return breaking.result()

    async def _run_plain(self) -> tuple[tuple[Problem, ...], StandIn]:
        """Run it once with whole streams; what it raises is the caller's to see."""
        clock = clock_of(asyncio.get_running_loop())
        stand_in, began, drive = StandIn(), clock(), Drive()
        with standing(self.breaking.playbook, stand_in):
            async with Remains(self.breaking.settings) as remains:
                task = drive.start(self.make_coroutine)
                await ended(task, None, drive.waits_at)
                self.limit = clock() - began + self.breaking.settings.patience
        task.result()
        return remains.problems, stand_in

    async def _visit(self, number: int, place: Break, scripts: Scripts) -> bool:
        """Run it with one stream broken, and note what came of it; return whether it came by there."""
        scripts.rewind()
        stand_in, drive = StandIn(place.script, place.answer), Drive()
        with standing(self.breaking.playbook, stand_in):
            async with Remains(self.breaking.settings) as remains:
                task: asyncio.Task[Any] = drive.start(self.make_coroutine)
                try:
                    await ended(task, self.limit, drive.waits_at)
                    error = outcome_of(task)
                    problems = self.breaking.ending(place, error, None if error is not None else task.result())
                except HungError as error:
                    problems = (hung(self.limit, str(error), place.fault),)
        if stand_in.met:
            problems += remains.problems + scripts.asked_more() + await failed_check(self.breaking.settings.check)
            self.breaking.visited(number, place, stand_in, problems)
        return stand_in.met
