"""What a sweep found, as a value and as a table.

The wall: frozen data in, text out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby

from pytest_mockstream._callsite import CallSite
from pytest_mockstream._exceptions import SweepError

from ._places import described


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One run, and what was wrong with it.

    Attributes:
        point: the number of the place, from 1; 0 is the run that nothing was done to.
        what: what was done there: ``"cancelled"``, or ``"Truncate before chunk {} of answer 1"``.
        chunk: the number of the chunk, from 1, where a stream was broken.
        place: the line of the user's code that was waiting.
        child: where a task stood that the code under test had started, if it was that one that had just begun to wait.
        again: the line of the clean-up where it was cancelled once more, or None.
        problems: what was wrong; nothing, if empty.
    """

    point: int
    what: str
    chunk: int | None = None
    place: CallSite | None = None
    child: CallSite | None = None
    again: CallSite | None = None
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems

    def __str__(self) -> str:
        return self.said(str(self.chunk))

    def said(self, chunks: str) -> str:
        """Return what was done where, with the numbers of the chunks."""
        text = f"{self.what.format(chunks)} at {described(self.place)}"
        if self.child:
            text += f"\nwhile its task stood at {described(self.child)}"
        if self.again:
            text += f"\nand once more at {described(self.again)}"
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Everything that one sweep found; ``print`` it for a table.

    Attributes:
        title: what was swept.
        points: how many places there are.
        visits: one for each run, in the order of the points; those that were cancelled once more, too.
        left_out: how many places ``max_points`` or ``point`` left out.
        not_reached: places that a run of their own did not come by.
        broken_off: why the sweep stopped before its end, or "".
    """

    title: str
    points: int
    visits: tuple[Visit, ...] = ()
    left_out: int = 0
    not_reached: tuple[int, ...] = ()
    broken_off: str = field(default="")

    @property
    def bad(self) -> tuple[Visit, ...]:
        """The runs that something was wrong with."""
        return tuple(visit for visit in self.visits if not visit.ok)

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong anywhere."""
        return not self.bad

    def raise_if_bad(self) -> None:
        """Raise ``SweepError`` if something was wrong.

        Raises:
            SweepError: it names every bad place.
        """
        if not self.ok:
            raise SweepError(self.report(), self)

    def report(self) -> str:
        """Return every bad place with what was wrong there."""
        first = next((visit.point for visit in self.bad if visit.point), None)
        alone = () if first is None else (f"To run one alone: point={first}.",)
        return "\n".join([self._headline(), *_rows(self.bad), *(f"  {note}" for note in (*self._notes(), *alone))])

    def __str__(self) -> str:
        return "\n".join([self._headline(), *_rows(self.visits), *(f"  {note}" for note in self._notes())])

    def _headline(self) -> str:
        points = len({visit.point for visit in self.visits if visit.point})
        bad = len({visit.point for visit in self.bad})
        clean = "all clean" if not bad else f"{bad} bad"
        return f"{self.title}: {points} of {self.points} points visited in {len(self.visits)} runs, {clean}"

    def _notes(self) -> Iterator[str]:
        if self.left_out:
            yield f"{self.left_out} of {self.points} points were left out (max_points or point)."
        if self.not_reached:
            listed = ", ".join(map(str, self.not_reached[:10])) + (", ..." if len(self.not_reached) > 10 else "")
            yield (
                f"{len(self.not_reached)} points were not come by when their turn came: {listed}. The code took another"
                " way than in its first run; make what it builds and caches anew inside make_coroutine."
            )
        if self.broken_off:
            yield self.broken_off


def _rows(visits: Iterable[Visit]) -> list[str]:
    """Return the table's rows; neighbours that differ in nothing but their number share one."""
    found = groupby(visits, key=lambda visit: replace(visit, point=0, chunk=None))
    groups = [list(group) for _, group in found]
    spans = [_span([visit.point for visit in group]) for group in groups]
    width = max(map(len, spans), default=0)
    lines = []
    for span, group in zip(spans, groups, strict=True):
        visit = group[0]
        chunks = _span([member.chunk or 0 for member in group])
        text = "\n".join([visit.said(chunks), *(f"  {line}" for told in visit.problems for line in told.splitlines())])
        lines.append(
            f"  {span:>{width}}  {'ok ' if visit.ok else 'BAD'}  " + text.replace("\n", "\n" + " " * (width + 9))
        )
    return lines


def _span(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    return str(first) if first == last else f"{first}-{last}"
