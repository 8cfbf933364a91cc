"""What is noted while a test runs: a list of tuples that does not grow without end, and what is in them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.clock import monotonic
from pytest_mockstream._base.watching import Happening, Verdict
from pytest_mockstream.playbook.request import Request

#: The phase and the text of a failure, and the line that failed where it is known.
Failure: TypeAlias = tuple[str, str] | tuple[str, str, CallSite | None]
PhaseKind: TypeAlias = Literal["test", "fixture"]

MOST_HAPPENINGS = 20_000  # of one run
MOST_BYTES = 64 * 2**20  # of the frames of one attempt
MOST_GOOD_RUNS = 200  # of sweeps, with what happened in them
MOST_BAD_RUNS = 50
NEAR = 0.25  # seconds: a clock that shows the real time but for this is the real one, or a virtual one switched off
_KEPT = frozenset({"over", "ended"})  # however many there are, as phases are


class Life(weakref.ref[Any]):
    """A task or a thread that was born, which it does not keep alive, and what is known of it.

    Attributes:
        serial: of its birth.
        kind: ``"task"`` or ``"thread"``.
        name: the one that it was last seen with.
        target: the name of the function that it runs, or "".
        frames: where it was made, as its birth has them.
        owner: who is credited with it.
        key: what requests call a task that makes them (``Asker.task``), or a thread once that is known.
        parent: the same of the task or the thread that made it.
        clock: that of the loop where it was made.
        born: when, by that clock.
        told: where its birth was noted, and its end is to be.
    """

    __slots__ = ("born", "clock", "frames", "key", "kind", "name", "owner", "parent", "serial", "target", "told")

    serial: int
    kind: Literal["task", "thread"]
    name: str
    target: str
    frames: tuple[Any, ...]
    owner: str
    key: int
    parent: int
    clock: Callable[[], float]
    born: float
    told: list[Happening]


class Phase:
    """A part of a test, such as its call, or a fixture's.

    Attributes:
        kind: ``"test"`` or ``"fixture"``.
        name: which it is.
        place: the line of the function, or None.
        state: how it ended.
    """

    __slots__ = ("kind", "name", "place", "state")

    def __init__(self, kind: PhaseKind, name: str, place: CallSite | None) -> None:
        self.kind = kind
        self.name = name
        self.place = place
        self.state: Literal["passed", "failed", "skipped"] = "passed"

    @property
    def key(self) -> tuple[str, CallSite | None]:
        """What the setting up and the tearing down of one fixture have in common."""
        return self.name, self.place


class Sweep(NamedTuple):
    """What a sweep swept.

    Attributes:
        kind: ``"cancel"``, ``"faults"``, ``"orders"`` or ``"threads"``.
        title: what it swept.
        site: the user's line that called it, if there is one.
        report: what it found, or "".
    """

    kind: str
    title: str
    site: CallSite | None
    report: str = ""


class Part(NamedTuple):
    """What happened in one run.

    Attributes:
        happenings: in order; none where there are too many runs to keep them all.
        omitted: how many others there were.
        verdict: what came of a run of a sweep; None for what happened in the test besides.
        sweep: which sweep that was.
    """

    happenings: list[Happening]
    omitted: int = 0
    verdict: Verdict | None = None
    sweep: Sweep | None = None


class Happenings:
    """Takes what happens, in order; of long runs and of many runs, not everything.

    Attributes:
        told: where what happens now goes to.
        requests: those that were made besides the runs of sweeps, in order.
        sweeps: those that there were.
    """

    __slots__ = ("_kept", "_outer", "_parts", "requests", "sweeps", "told")

    def __init__(self) -> None:
        self._outer = self.told = _Told([("began", monotonic())])
        self._parts: list[Part] = []
        self._kept = {True: MOST_GOOD_RUNS, False: MOST_BAD_RUNS}
        self.requests: list[Request] = []
        self.sweeps: list[Sweep] = []

    def append(self, happening: Happening) -> None:
        """Note what happens now."""
        match happening[0]:
            case "sweep":
                self.sweeps.append(Sweep(*happening[3:]))
            case "run":
                self.told = _Told([("began", monotonic())])
            case "verdict":
                self._end_run(happening[3])
            case "swept":
                self.told = self._outer
                self.sweeps[-1:] = [sweep._replace(report=happening[3]) for sweep in self.sweeps[-1:]]
            case _:
                self.told.append(happening)
                if happening[0] == "asked" and self.told is self._outer and not self.told.omitted:
                    self.requests.append(happening[3])

    def _end_run(self, verdict: Verdict) -> None:
        told, self.told = self.told, self._outer
        if told is self._outer:  # the run has its verdict already
            return
        is_good = not verdict.problem
        self._kept[is_good] -= 1
        kept = self._kept[is_good] >= 0
        sweep = self.sweeps[-1] if self.sweeps else None
        happenings, omitted = (told[:], told.omitted) if kept else ([], 0)
        self._parts.append(Part(happenings, omitted, verdict, sweep))

    def parts(self) -> list[Part]:
        """Return what happened: besides the runs of sweeps, and then in each of them."""
        return [Part(self._outer[:], self._outer.omitted), *self._parts]


class _Told(list[Happening]):
    """What happens in one run, and how much of it was omitted."""

    omitted = 0

    def append(self, happening: Happening) -> None:
        if len(self) < MOST_HAPPENINGS or happening[0] in _KEPT:
            super().append(happening)
        else:
            self.omitted += 1
