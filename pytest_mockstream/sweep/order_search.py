"""Which orders to try, as lists of small integers: the fewest deviations first, then samples; and a failing one shrunk.

It knows numbers only, and runs nothing.

Theory of operation: whenever several things can arrive, a run decides which of them does: 0 is what comes first by
default, and any other number is a deviation. All orders form a tree, and an order is known by its deviations and their
positions in the run. A run of an order tells how many things could have arrived at each later decision, and with that
which orders have one deviation more. So the orders come in levels. The search is complete as soon as no order is known
that was not tried; if it is not going to be within the budget, the last part of that goes to random samples, which
also tell about how many orders there are (Knuth, Estimating the efficiency of backtrack programs, 1975).
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from math import prod
from typing import TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

#: The decisions that are not 0, each with its position, from 0.
Deviations: TypeAlias = tuple[tuple[int, int], ...]

_FIRST = "first"
_TOKEN = re.compile(r"\d+\.\d+(-\d+\.\d+)*", re.ASCII)
_SAMPLED = 4  # one in so many orders is a sample where not all fit in
_MOST_TRIES = 200  # to shrink one order
_SAME_AGAIN = 20  # samples in a row that were tried before


def token_of(deviations: Deviations) -> str:
    """Return an order as a short text."""
    return "-".join(f"{position}.{chosen}" for position, chosen in deviations) or _FIRST


def deviations_of(token: object, name: str = "order") -> Deviations:
    """Return the order that a text stands for.

    Raises:
        ScriptError: it stands for none.
    """
    if token == _FIRST:
        return ()
    if isinstance(token, str) and _TOKEN.fullmatch(token):
        pairs = [part.split(".") for part in token.split("-")]
        found = tuple((int(position), int(chosen)) for position, chosen in pairs)
        if all(chosen for _, chosen in found) and [*dict(sorted(found)).items()] == [*found]:
            return found
    msg = f'{name}={brief(token)}: give an order as a report shows it, such as "{_FIRST}" or "3.1-7.2"'
    raise ScriptError(msg)


class Tape:
    """The decisions of one run: those that are given, and 0 for all others, or random ones.

    Attributes:
        widths: how many things could have arrived at each decision.
        made: the deviations that were made.
    """

    __slots__ = ("_fits", "_given", "_random", "made", "widths")

    def __init__(self, given: Deviations = (), rng: random.Random | None = None) -> None:
        self._given = dict(given)
        self._random = rng
        self._fits = True
        self.widths: list[int] = []
        self.made: list[tuple[int, int]] = []

    def choose(self, width: int) -> int:
        """Decide between so many things, and return the number of the one that arrives."""
        position = len(self.widths)
        self.widths.append(width)
        chosen = self._given.get(position, 0) if self._random is None else self._random.randrange(width)
        if chosen >= width:
            self._fits, chosen = False, 0
        if chosen:
            self.made.append((position, chosen))
        return chosen

    @property
    def fits(self) -> bool:
        """Whether the run came to every given decision, and could make it."""
        return self._fits and all(position < len(self.widths) for position in self._given)

    @property
    def order(self) -> Deviations:
        """The deviations that were made."""
        return tuple(self.made)


@dataclass(slots=True)
class Search:
    """Goes through the orders within a budget.

    Args:
        budget: how many orders to try, at most.
        seed: of the samples.
        first: orders to begin with, because they have failed before.

    Attributes:
        tried: how many orders were tried.
        is_complete: whether these were all that there are.
        deviations: up to how many deviations all orders were tried.
        beyond: how many with one deviation more were tried.
        sampled: how many samples were tried.
        estimate: about how many orders there are, by the samples.
        is_at_remembered: whether the last order is one to begin with.
    """

    budget: int
    seed: int = 0
    first: tuple[Deviations, ...] = ()
    tried: int = 0
    is_complete: bool = False
    deviations: int = -1
    beyond: int = 0
    sampled: int = 0
    estimate: float = 0.0
    is_at_remembered: bool = False
    _known: int = 1  # orders that are known and were not tried
    _tapes: dict[Deviations, list[int]] = field(default_factory=dict)  # the widths of what was tried out of turn

    def tapes(self) -> Iterator[Tape]:
        """Yield the tape of each run; a run is to be over before the next one is asked for."""
        level: list[tuple[Deviations, list[int]]] = []
        yield from self._run((), level)
        self.deviations = 0
        yield from self._remembered()
        while level:
            below: list[tuple[Deviations, list[int]]] = []
            self.beyond = 0
            for order in (child for parent in level for child in _children(*parent)):
                if self._is_too_much():
                    yield from self._samples()
                    return
                yield from self._run(order, below)
                self.beyond += 1
            self.deviations += bool(below)
            level = below
        self.is_complete = True

    def _remembered(self) -> Iterator[Tape]:
        self.is_at_remembered = True
        for order in self.first[: self.budget]:
            if order:
                tape = Tape(order)
                self.tried += 1
                yield tape
                if tape.fits:
                    self._tapes[order] = tape.widths
                else:
                    self.tried -= 1
        self.is_at_remembered = False

    def _run(self, order: Deviations, level: list[tuple[Deviations, list[int]]]) -> Iterator[Tape]:
        widths = self._tapes.pop(order, None)
        if widths is None:
            tape = Tape(order)
            self.tried += 1
            yield tape
            if not tape.fits:  # the code took another path: what it could have met there is no order of its own
                self._known -= 1
                return
            widths = tape.widths
        level.append((order, widths))
        self._known += sum(widths[_start(order) :]) - len(widths[_start(order) :]) - 1

    def _is_too_much(self) -> bool:
        """Tell whether the orders do not fit into the budget, and what is left of that is for samples."""
        left = self.budget - self.tried
        return left <= 0 or (self._known > left and left <= self.budget // _SAMPLED)

    def _samples(self) -> Iterator[Tape]:
        rng = random.Random(self.seed)  # noqa: S311 - samples, not cryptography
        total, same, seen = 0.0, 0, set[Deviations]()
        while self.tried < self.budget and same < _SAME_AGAIN:
            tape = Tape(rng=rng)
            yield tape
            total += prod(tape.widths)
            self.tried += 1
            self.sampled += 1
            self.estimate = total / self.sampled
            same = same + 1 if tape.order in seen else 0
            seen.add(tape.order)


def _start(order: Deviations) -> int:
    return order[-1][0] + 1 if order else 0


def _children(order: Deviations, widths: list[int]) -> Iterator[Deviations]:
    """Yield the orders with one deviation more, after those that there are."""
    for position in range(_start(order), len(widths)):
        for chosen in range(1, widths[position]):
            yield (*order, (position, chosen))


async def shrunk(order: Deviations, fails: Callable[[Deviations], Awaitable[Deviations | None]]) -> Deviations:
    """Return an order that fails in the same way with as few deviations as can be found.

    Args:
        order: one that fails.
        fails: runs an order, and returns the deviations that it made if it failed in the same way, otherwise None.
    """
    tries, shorter = 0, True
    while shorter:
        shorter = False
        for candidate in _shorter(order):
            if tries == _MOST_TRIES:
                return order
            tries += 1
            found = await fails(candidate)
            if found is not None and _weight(found) < _weight(order):
                order, shorter = found, True
                break
    return order


def _shorter(order: Deviations) -> Iterable[Deviations]:
    """Yield orders that are simpler: with half of the deviations, one less, or one decided for something nearer."""
    half = len(order) // 2
    if half > 1:
        yield order[:half]
        yield order[half:]
    for place in range(len(order))[::-1]:
        yield order[:place] + order[place + 1 :]
    for place, (position, chosen) in enumerate(order):
        if chosen > 1:
            yield (*order[:place], (position, 1), *order[place + 1 :])


def _weight(order: Deviations) -> tuple[int, int]:
    return len(order), sum(chosen for _, chosen in order)
