"""What a sweep of orders found, as a value and in words.

It turns frozen data into text, and runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from pytest_mockstream._base.errors import SweepError
from pytest_mockstream._base.wording import counted

from .arrivals import Event
from .problem import Problem
from .sources import Source

_LISTED = 5  # failures in a report
_SHOWN = 12  # things that arrived, in a report


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedOrder:
    """An order in which something was wrong, with as few deviations as could be found.

    Attributes:
        order: the text that runs it alone: ``sweep_orders(..., order=...)``.
        story: what came when, where it was not what comes by default.
        arrived: everything that came, in order.
        problems: what was wrong.
        orders: how many orders failed in the same way.
        note: what else there is to say of it, or "".
    """

    order: str
    story: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    orders: int = 1
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong."""
        return not self.problems

    @property
    def hints(self) -> list[str]:
        """What to do, each thing once."""
        return [hint for hint in dict.fromkeys(problem.hint for problem in self.problems) if hint]

    def __str__(self) -> str:
        lines = [
            f'order="{self.order}" fails' + (f", as {counted(self.orders, 'order')} do:" if self.orders > 1 else ":")
        ]
        lines += [f"  {sentence}" for sentence in self.story]
        lines += [f"  {line}" for problem in self.problems for line in str(problem).splitlines()]
        if self.arrived:
            lines.append(f"  In this order it came: {listed(self.arrived)}.")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersResult:
    """What ``sweep_orders`` found; ``print`` it.

    Attributes:
        title: what was swept.
        orders: how many orders were tried.
        is_complete: whether these were all that there are.
        coverage: which were tried and which were left out, in words.
        bad: one for each way to fail, with an order that shows it.
        unsteady: how many orders could not be tried, because the code took another path when it was run again.
        reads_sockets: whether the code under test reads real sockets.
        broken_off: why the sweep stopped early, or "".
    """

    title: str
    orders: int
    is_complete: bool
    coverage: str
    bad: tuple[FailedOrder, ...] = ()
    unsteady: int = 0
    reads_sockets: bool = False
    broken_off: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was wrong in any order."""
        return not self.bad

    def raise_if_bad(self) -> None:
        """Raise ``SweepError`` if something was wrong.

        Raises:
            SweepError: it tells an order for each way to fail.
        """
        if not self.ok:
            raise SweepError(self.report(), self)

    def report(self) -> str:
        """Return each way to fail with an order that shows it, and what to do."""
        hints = dict.fromkeys(hint for failed in self.bad[:_LISTED] for hint in failed.hints)
        alone = f'To run one alone, with the same keywords: order="{self.bad[0].order}".' if self.bad else ""
        return "\n".join([str(self), *(f"  {hint}" for hint in (*hints, alone) if hint)])

    def emptiness(self) -> str:
        """Return that there is but one order, so that nothing was tested, or ""."""
        if not self.is_complete or self.orders > 1 or self.bad or self.reads_sockets:
            return ""
        return "There is but one order: never are there two things that can arrive, so nothing was tested."

    def unsteadiness(self) -> str:
        """Return how the runs of the code under test differed from one another, or ""."""
        if self.reads_sockets:
            return (
                "The code under test reads real sockets. What comes from there comes when it does, and in no other"
                " order: let it ask mock_stream_client or mock_stream_sdk."
            )
        if not self.unsteady:
            return ""
        return (
            f"The code under test does not take the same path each time: {counted(self.unsteady, 'order')} could not be"
            " tried. Build inside make_coroutine what it builds or caches the first time, and seed what is random."
        )

    def __str__(self) -> str:
        bad = sum(failed.orders for failed in self.bad)
        lines = [f"{self.title}: {self.coverage}; {f'{bad} bad' if bad else 'all clean'}"]
        for failed in self.bad[:_LISTED]:
            lines += [f"  {line}" for line in str(failed).splitlines()]
        if len(self.bad) > _LISTED:
            lines.append(f"  and {len(self.bad) - _LISTED} more ways to fail")
        notes = (self.emptiness(), self.unsteadiness(), self.broken_off)
        return "\n".join([*lines, *(f"  {note}" for note in notes if note)])


def listed(arrived: Sequence[str]) -> str:
    """Return what came in one line, the first things of many."""
    return "; ".join([*arrived[:_SHOWN], *(["..."] if len(arrived) > _SHOWN else [])])


def story_of(events: Sequence[Event]) -> tuple[str, ...]:
    """Return a sentence for each thing that did not come when it does by default."""
    return tuple(_sentences(events))


def _sentences(events: Sequence[Event]) -> Iterator[str]:
    for number, event in enumerate(events):
        if not event.passed_over:
            if event.source.is_out_of_turn:
                yield f"{_with_line(event.source, event.words)} came{_after(events, number)}"
            continue
        late, words = event.passed_over[0]
        came = next((later for later in range(number, len(events)) if events[later].source is late), None)
        late_words = _with_line(late, words)
        if came is None:
            yield f"{late_words} had not come yet when {_with_line(event.source, event.words)} came"
        else:
            yield f"{late_words} came{_after(events, came)}"


def _after(events: Sequence[Event], number: int) -> str:
    if not number:
        return " first of all"
    event = events[number - 1]
    if event.is_last and event.source.answer:
        return f" after answer {event.source.answer} ({_asked(event.source)}) was over"
    return f" after {_with_line(event.source, event.words)}"


def _with_line(source: Source, words: str) -> str:
    return f"{words} ({_asked(source)})" if source.answer else words


def _asked(source: Source) -> str:
    return f"opened at {source.asked_at}"


def arrived_of(events: Sequence[Event]) -> tuple[str, ...]:
    """Return what came, in order; chunks of one answer that follow one another are told together."""
    found = []
    for _, group in groupby(events, key=lambda event: event.source):
        one = list(group)
        lines = dict.fromkeys(str(event.read_at) for event in one if event.read_at is not None)
        read = f", read at {', '.join(lines)}" if lines else ""
        words = one[0].words if len(one) == 1 else f"{one[0].words} up to {one[-1].words.removesuffix(_of(one[-1]))}"
        found.append(words + read)
    return tuple(found)


def _of(event: Event) -> str:
    return f" of answer {event.source.answer}"
