"""What a sweep found, as a value and as a table.

It turns frozen data into text, and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from pytest_mockstream._base.callsite import CallSite
from pytest_mockstream._base.errors import SweepError

from .positions import describe
from .problem import Problem, merged_text, without_details
from .settings import TRIES

_LISTED = 5  # spans of numbers in a row of the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One run, and what was wrong with it.

    Attributes:
        point: the number of the place, from 1; 0 is the run to which nothing was done.
        what: what was done there: ``"cancelled"``, or ``"Truncate before chunk {} of answer 1"``.
        chunk: the number of the chunk, from 1, where a stream was broken.
        place: the line of the user's code that was waiting.
        child: the line where a task that the code under test had started was waiting, if the point is that task's.
        again: the line of the clean-up where it was cancelled a second time, or None.
        problems: what was wrong; empty if nothing was.
    """

    point: int
    what: str
    chunk: int | None = None
    place: CallSite | None = None
    child: CallSite | None = None
    again: CallSite | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems

    @property
    def hints(self) -> list[str]:
        """What to do, each thing once."""
        return [hint for hint in dict.fromkeys(problem.hint for problem in self.problems) if hint]

    def __str__(self) -> str:
        return _row([self])

    @property
    def name(self) -> str:
        """What was done where, in one line."""
        number = f"point {self.point}: " if self.point else ""
        return number + self.describe("" if self.chunk is None else str(self.chunk)).replace("\n", ", ")

    def describe(self, chunks: str) -> str:
        """Return what was done where; ``chunks`` are the numbers of the chunks, as text."""
        if not self.point:
            return self.what
        text = f"{self.what.format(chunks)} at {describe(self.place)}"
        if self.child:
            text += f"\nwhile its child task was at {describe(self.child)}"
        if self.again:
            text += f"\nand again at {describe(self.again)}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """What a sweep found; ``print`` it for a table.

    Attributes:
        title: what was swept.
        points: how many places there are.
        visits: one for each run, in the order of the points, including runs that were cancelled a second time.
        left_out: how many places ``max_points`` or ``point`` left out.
        left_out_note: which they are, and how to visit them; or "".
        not_reached: the numbers of places that the runs meant for them did not reach.
        later_points: the fewest and the most points of later runs that completed, where they differ from the first.
        broken_off: why the sweep stopped early, or "".
    """

    title: str
    points: int
    visits: tuple[Visit, ...] = ()
    left_out: int = 0
    left_out_note: str = ""
    not_reached: tuple[int, ...] = ()
    later_points: tuple[int, int] | None = None
    broken_off: str = ""

    @property
    def bad(self) -> tuple[Visit, ...]:
        """The runs with which something was wrong."""
        return tuple(visit for visit in self.visits if not visit.ok)

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong anywhere."""
        return not self.bad

    @property
    def steady(self) -> bool:
        """Whether the code under test took the same path each time, so that every point could be visited."""
        return not self.not_reached and self.later_points is None

    def raise_if_bad(self) -> None:
        """Raise ``SweepError`` if something was wrong.

        Raises:
            SweepError: it names every bad place.
        """
        if not self.ok:
            raise SweepError(self.report(), self)

    def report(self) -> str:
        """Return every bad place with what was wrong there, and what to do."""
        first = next((visit.point for visit in self.bad if visit.point), None)
        alone = () if first is None else (f"To run one alone: point={first}.",)
        shown = list(_without_repeats(self.bad))
        hints = dict.fromkeys(hint for visit in shown for hint in visit.hints)
        return self._text(shown, [*hints, *self._notes(), *alone])

    def unsteadiness(self) -> str:
        """Return how the runs of the code under test differed from one another, or ""."""
        if self.steady:
            return ""
        text = f"The code under test does not take the same path each time: its first run had {self.points} points"
        if self.later_points is not None:
            fewest, most = self.later_points
            text += f", later ones had {fewest}" + (f" to {most}" if most > fewest else "")
        if self.not_reached:
            listed = ", ".join(map(str, self.not_reached[:10])) + (", ..." if len(self.not_reached) > 10 else "")
            text += f"; points that were not reached, each tried {TRIES} times: {listed}"
        return text + (
            ". Build inside make_coroutine what it builds or caches the first time, and seed what is random;"
            " real sockets, threads and clocks wake it as they like."
        )

    def emptiness(self) -> str:
        """Return that there was no place at all, so that nothing was tested, or ""."""
        if self.points or self.bad:
            return ""
        return "It never waits: there is no place where it could be cancelled, so nothing was tested."

    def __str__(self) -> str:
        return self._text(self.visits, self._notes())

    def _text(self, visits: Iterable[Visit], notes: Iterable[str]) -> str:
        return "\n".join([self._headline(), *_rows(visits), *(f"  {note}" for note in notes)])

    def _headline(self) -> str:
        points = len({visit.point for visit in self.visits if visit.point})
        bad = len({visit.point for visit in self.bad})
        clean = "all clean" if not bad else f"{bad} bad"
        return f"{self.title}: {points} of {self.points} points visited in {len(self.visits)} runs, {clean}"

    def _notes(self) -> Iterator[str]:
        if note := self.emptiness():
            yield note
        if self.left_out_note:
            yield self.left_out_note
        if not self.steady:
            yield self.unsteadiness()
        if self.broken_off:
            yield self.broken_off


def _without_repeats(visits: Iterable[Visit]) -> Iterator[Visit]:
    """Leave out what a second cancellation found if the first one alone had found it already."""
    known: set[tuple[object, ...]] = set()
    for visit in visits:
        found = (visit.point, *(problem.text for problem in visit.problems))
        if not visit.again:
            known.add(found)
        if not visit.again or found not in known:
            yield visit


def _rows(visits: Iterable[Visit]) -> list[str]:
    """Return the table's rows; neighbours that differ in nothing but their numbers and what they returned share one."""
    groups = [list(group) for _, group in groupby(visits, key=_common)]
    spans = [_span([visit.point for visit in group]) for group in groups]
    width = max(map(len, spans), default=0)
    return [
        f"  {span:>{width}}  {'ok ' if group[0].ok else 'BAD'}  " + _row(group).replace("\n", "\n" + " " * (width + 9))
        for span, group in zip(spans, groups, strict=True)
    ]


def _common(visit: Visit) -> Visit:
    return replace(visit, point=min(visit.point, 1), chunk=None, problems=tuple(map(without_details, visit.problems)))


def _row(group: list[Visit]) -> str:
    lines = [group[0].describe(_span([visit.chunk or 0 for visit in group]))]
    for problems in zip(*(visit.problems for visit in group), strict=True):
        lines += [f"  {line}" for line in merged_text(problems).splitlines()]
    return "\n".join(lines)


def _span(numbers: Iterable[int]) -> str:
    """Return numbers as text; those that follow one another are joined: "1-3, 7"."""
    spans: list[tuple[int, int]] = []
    for number in dict.fromkeys(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1] = spans[-1][0], number
        else:
            spans.append((number, number))
    listed = [str(first) if first == last else f"{first}-{last}" for first, last in spans]
    if len(listed) > _LISTED:
        listed[2:-1] = ["..."]
    return ", ".join(listed)
