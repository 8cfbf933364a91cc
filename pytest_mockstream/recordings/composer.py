"""Composes a script of what was heard of a reply: the twin of ``Script.schedule``.

It knows no provider and no bytes. A script that is played gives the chunks that were heard, in their order; where no
step can say that order, the parts come one behind the other, and ``lost`` says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any, Literal, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import (
    EXTRAS,
    Citation,
    Disconnect,
    End,
    Interleave,
    KeepAlive,
    Malformed,
    Reasoning,
    Refusal,
    Stall,
    Step,
    Text,
    Together,
    ToolCall,
)
from pytest_mockstream.wire import Finish, Heard, Kind, Piece

from .turns import by_turns, cut_apart, end_of_turns

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """What a reply said, in the words of a script.

    Attributes:
        steps: the steps.
        finish: why the model stopped, in the provider's word; None if it never said.
        usage: the tokens used; None if it never said.
        gaps: seconds before each chunk, the last one included.
        lost: what no step can say, in words.
    """

    steps: tuple[Step, ...]
    finish: str | None
    usage: Usage | None
    gaps: tuple[float, ...]
    lost: tuple[str, ...] = ()


@dataclass(slots=True)
class _Run:
    """A step that is being heard: neighbouring pieces of one kind, or the fragments of one tool call."""

    first: Piece
    deltas: list[str | None] = field(default_factory=list)
    signature: str | Literal[False] | None = None
    new_block: bool = False

    def goes_on_with(self, other: _Run) -> bool:
        """Tell whether another run is more of the same prose."""
        return self.first.kind == other.first.kind != "tool_call" and self.signature is None

    @property
    def is_block(self) -> bool:
        """Whether it is prose, in a reply that can have several blocks of it."""
        return self.first.kind != "tool_call" and self.first.block is not None

    def step(self) -> Step:
        first = self.first
        if first.kind == "tool_call":
            return _call(first, self.deltas)
        texts = [delta or "" for delta in self.deltas]
        if first.kind == "reasoning":
            return Reasoning(texts, signature=self.signature, new_block=self.new_block)
        return (Refusal if first.kind == "refusal" else Text)(texts, new_block=self.new_block)


@dataclass(slots=True)
class _Joint:
    """Pieces that came in one chunk, and the fragments of the call among them that came later."""

    step: Together
    pieces: Sequence[Piece]
    fragments: list[str | None] = field(default_factory=list)

    @property
    def call(self) -> int | None:
        """The place of the call among the pieces; None if there is none."""
        return next((place for place, piece in enumerate(self.pieces) if piece.kind == "tool_call"), None)

    def runs(self) -> list[_Run]:
        """Return the pieces, each for itself, and the call with all its fragments."""
        runs = list(map(_run_of, self.pieces))
        if self.call is not None:
            runs[self.call].deltas += self.fragments
        return runs


_Part: TypeAlias = "_Run | _Joint | Step"
_AFTER_END = (KeepAlive, Malformed, Disconnect, Stall)


class Composer:
    """Hears a reply, event by event.

    Args:
        begun: when the reply began, in seconds.
        repeated: the text of the request that the reply begins with; it is none of the reply's own.
        extras: which steps the reply's format can say, of those that not every format can.
    """

    def __init__(self, begun: float = 0.0, *, repeated: str = "", extras: Collection[type[Step]] = EXTRAS) -> None:
        self._repeated = repeated  # as far as it is still to come
        self._extras = extras
        self._parts: list[_Part] = []
        self._places: dict[tuple[Kind, int | None], int] = {}  # of the last run of each kind and block or call
        self._behind = -1  # the place of the last step that is no run
        self._last: Piece | None = None  # the last piece, unless it ended its block
        self._order: list[int] = []  # the part of each chunk, as its place
        self._gaps: list[float] = []
        self._before = begun
        self._finish: str | None = None
        self._end = 0  # where the parts begin that came after the last chunk
        self._usage: Usage | None = None
        self._lost: list[str] = []

    @property
    def is_finished(self) -> bool:
        """Whether the model has said why it stopped."""
        return self._finish is not None

    def hear(self, heard: Iterable[Heard], at: float = 0.0) -> None:
        """Hear what one event says.

        Args:
            heard: what a decoder made of it.
            at: when it came, in seconds.

        Raises:
            ValueError: there is a fragment of a tool call that has not begun; then nothing was heard of it at all.
        """
        heard = list(heard)
        self._check_calls(heard)
        pieces: list[Piece] = []
        finish: Finish | None = None
        for one in heard:
            if isinstance(one, Piece):
                pieces.append(one)
            elif isinstance(one, Usage):
                self._usage = one
            elif isinstance(one, Finish):
                finish = one
            else:
                self.add(one)
        if self._repeated:
            pieces = [own for piece in pieces for own in self._own(piece)]
        self._pieces(pieces, at)
        if finish is not None:
            if self._finish is None:
                self._chunk(at, is_first=not pieces)
            self._finish, self._end = finish.reason, len(self._parts)

    def _own(self, piece: Piece) -> Iterator[Piece]:
        """Yield a piece without what it repeats of the request; nothing if it says nothing else."""
        said, repeated = piece.text, self._repeated
        if piece.kind == "text" and said and repeated.startswith(said):
            self._repeated = repeated[len(said) :]
            return
        self._repeated = ""
        yield piece._replace(text=said.removeprefix(repeated)) if piece.kind == "text" else piece

    def _check_calls(self, heard: Iterable[Heard]) -> None:
        begun: set[int] = set()
        for one in heard:
            if isinstance(one, Piece) and one.kind == "tool_call":
                if one.name:
                    begun.add(one.call)
                elif one.call not in begun and _key(one) not in self._places:
                    raise ValueError(f"a fragment of tool call {one.call}, which has not begun")

    def _pieces(self, pieces: list[Piece], at: float) -> None:
        pieces = self._signed(pieces)
        if len(pieces) > 1 and Together in self._extras and (together := _together(pieces)) is not None:
            self._add_chunk(_Joint(together, pieces), at)
            return
        for number, piece in enumerate(pieces):
            self._piece(piece, at, is_first=number == 0)

    def _signed(self, pieces: list[Piece]) -> list[Piece]:
        """Return pieces without the signatures that belong to what was heard before, or to the piece before."""
        told: list[Piece] = []
        for piece in pieces:
            before = told[-1] if told else None
            if not _signs(piece) or piece.text:
                told.append(piece)
            elif before is not None and before.kind == "reasoning" and before.step is None:
                told[-1] = before._replace(step=piece.step)
            elif told or not self._sign(piece):
                told.append(piece)
        return told

    def add(self, step: Step) -> None:
        """Add a step that has no chunks, such as a fault."""
        self._append(step)

    def _append(self, part: _Part) -> int:
        """Add a part, and return its place."""
        place = len(self._parts)
        self._parts.append(part)
        if isinstance(part, _Run):
            self._places[_key(part.first)] = place
            return place
        self._behind = place
        if isinstance(part, _Joint) and part.call is not None:
            self._places[_key(part.pieces[part.call])] = place
        return place

    def lose(self, what: str) -> None:
        """Note something that no step can say, in words."""
        self._lost.append(what)

    def composed(self) -> Composed:
        """Return what was heard so far."""
        if any(isinstance(part, _Joint) and part.fragments for part in self._parts):
            return self._separated().composed()
        return Composed(
            steps=tuple(self._steps()),
            finish=self._finish,
            usage=self._usage,
            gaps=tuple(self._gaps),
            lost=tuple(dict.fromkeys(self._lost)),
        )

    def _separated(self) -> Composer:
        """Return a composer to which parts of one chunk came one by one, where more of their call came later."""
        other = copy(self)
        other._parts, other._order, other._gaps = [], [], []
        places: list[list[int]] = []
        for place, part in enumerate(self._parts):
            runs: Sequence[_Part] = part.runs() if isinstance(part, _Joint) and part.fragments else [part]
            places.append(list(range(len(other._parts), len(other._parts) + len(runs))))
            other._parts += runs
            if place < self._end:
                other._end = len(other._parts)
        for place, gap in zip(self._order, self._gaps, strict=False):
            other._order += places[place]
            other._gaps += [gap, *[0.0] * (len(places[place]) - 1)]
            if isinstance(part := self._parts[place], _Joint) and part.call is not None:
                places[place] = [places[place][part.call if len(places[place]) > 1 else 0]]
        other._gaps += self._gaps[len(self._order) :]
        other._lost = [*self._lost, "that several parts came in one chunk"]
        return other

    def _chunk(self, at: float, *, is_first: bool = True) -> None:
        self._end = len(self._parts)
        self._gaps.append(max(0.0, at - self._before) if is_first else 0.0)
        self._before = at

    def _add_chunk(self, part: _Part, at: float) -> None:
        self._order.append(self._append(part))
        self._last = None
        self._chunk(at)

    def _piece(self, piece: Piece, at: float, *, is_first: bool) -> None:
        if not is_first:
            self.lose("that several parts came in one chunk")
        signature = _signature_of(piece)
        bare = piece if signature is None else piece._replace(step=None)
        place = self._place(bare)
        if place is None:
            place = self._append(self._begun(bare))
        self._last = None if isinstance(piece.step, Reasoning) else piece
        part = self._parts[place]
        if isinstance(part, _Run):
            part.signature = signature
            if piece.text or signature is None:
                part.deltas.append(None if piece.null else piece.text)
        elif isinstance(part, _Joint):
            part.fragments.append(None if piece.null else piece.text)
        self._order.append(place)
        self._chunk(at, is_first=is_first)

    def _begun(self, piece: Piece) -> _Part:
        """Return the step that a piece begins; it says so where it would go on with the block of the last piece."""
        last = self._last
        is_same = last is not None and _family(last) == _family(piece)
        new_block = last is not None and is_same and piece.place not in {None, last.place}
        if piece.step is None:
            return _Run(piece, new_block=new_block)
        step: Step = piece.step
        return replace(step, new_block=True) if new_block and isinstance(step, Citation) else step

    def _place(self, piece: Piece) -> int | None:
        """Return the place of the step that a piece goes on with; None if it begins one."""
        if piece.step is not None or piece.name:
            return None
        place = self._places.get(_key(piece))
        if piece.kind == "tool_call":
            return place
        run = None if place is None else self._parts[place]
        if place is None or not isinstance(run, _Run) or run.signature is not None:
            return None
        # A block goes on although pieces of others came between, but not behind a step that came between.
        goes_on = place > self._behind if piece.block is not None else place == len(self._parts) - 1
        return place if goes_on else None

    def _sign(self, piece: Piece) -> bool:
        """Note the signature of the reasoning that just ended; tell whether there is any."""
        place = self._place(piece._replace(step=None))
        run = None if place is None else self._parts[place]
        if not isinstance(run, _Run):
            return False
        run.signature = piece.step.signature
        self._last = None
        return True

    def _steps(self) -> list[Step]:
        """Return the steps; what came by turns is an ``Interleave``, or as few of them as can say it."""
        steps: list[Step] = []
        place = 0
        parts = self._parts_with_end()
        first_of, last_of = self._ends()
        while place < len(parts):
            end = end_of_turns(place, len(parts), first_of, last_of)
            turns = list(takewhile(range(place, end).__contains__, islice(self._order, first_of.get(place, 0), None)))
            steps += (self._by_turns(turns) if end > place + 1 else None) or map(_made, parts[place:end])
            place = end
        return steps

    def _parts_with_end(self) -> list[_Part]:
        """Return the parts, with an ``End`` where the last chunk came before what can come after one."""
        after = self._parts[self._end :]
        if self._finish is None or not after or not all(isinstance(part, _AFTER_END) for part in after):
            return self._parts
        return [*self._parts[: self._end], End(), *after]

    def _ends(self) -> tuple[dict[int, int], dict[int, int]]:
        """Return the numbers of the first and of the last chunk of each part."""
        first_of: dict[int, int] = {}
        last_of: dict[int, int] = {}
        for number, place in enumerate(self._order):
            first_of.setdefault(place, number)
            last_of[place] = number
        return first_of, last_of

    def _by_turns(self, turns: Sequence[int]) -> list[Interleave] | None:
        """Return the steps that say parts that came by turns; None if none can."""
        try:
            if Interleave not in self._extras:
                raise ScriptError("the format has no parts that come by turns")
            told: Counter[int] = Counter()
            return [self._interleaved(some, told) for some in cut_apart(turns, self._blocks(turns))]
        except ScriptError:
            self.lose("in which order parts came by turns")
            return None

    def _blocks(self, places: Iterable[int]) -> dict[int, Kind]:
        """Return the kinds of those parts that are blocks of prose, of which a reply can have several."""
        runs = {place: part for place in places if isinstance(part := self._parts[place], _Run)}
        return {place: run.first.kind for place, run in runs.items() if run.is_block}

    def _interleaved(self, turns: Sequence[int], told: Counter[int]) -> Interleave:
        """Return the step that says some turns; ``told`` counts the chunks of each part that steps before it say."""
        parts: list[_Part] = []
        numbers: dict[int, int] = {}
        for place, count in Counter(turns).items():
            numbers[place] = self._join(parts, self._some_of(place, told[place], count))
            told[place] += count
        order = [numbers[place] for place in turns]
        made: Any = [_made(part) for part in parts]
        usual = by_turns([order.count(number) for number in range(len(made))])
        return Interleave(*made, order=None if order == usual else order)

    def _some_of(self, place: int, begin: int, count: int) -> _Part:
        """Return what one of several steps says of a part; the last of them has its signature."""
        part, total = self._parts[place], self._order.count(place)
        if not isinstance(part, _Run) or count == total:
            return part
        return replace(
            part,
            deltas=part.deltas[begin : begin + count],
            signature=part.signature if begin + count == total else None,
            new_block=part.new_block and begin == 0,
        )

    def _join(self, parts: list[_Part], part: _Part) -> int:
        """Add a part, prose to the one of its kind that is there; return its number."""
        for number, other in enumerate(parts):
            if isinstance(other, _Run) and isinstance(part, _Run) and other.goes_on_with(part):
                if part.is_block and part.first.block != other.first.block:
                    self.lose("that parts of one kind that came by turns are blocks of their own")
                other.deltas += part.deltas
                other.signature = part.signature
                return number
        parts.append(replace(part, deltas=part.deltas.copy()) if isinstance(part, _Run) else part)
        return len(parts) - 1


def _key(piece: Piece) -> tuple[Kind, int | None]:
    return piece.kind, piece.call if piece.kind == "tool_call" else piece.block


def _family(piece: Piece) -> Kind:
    """Return the kind of the block, or of the message, that a piece goes on with unless it begins one."""
    return "text" if piece.kind in {"citation", "refusal"} else piece.kind


def _made(part: _Part) -> Step:
    if isinstance(part, _Joint):
        return part.step
    return part.step() if isinstance(part, _Run) else part


def _signs(piece: Piece) -> bool:
    """Tell whether a piece says the signature of reasoning that ends with it."""
    return isinstance(piece.step, Reasoning) and not piece.step.redacted


def _signature_of(piece: Piece) -> str | Literal[False] | None:
    signature: str | Literal[False] | None = piece.step.signature if _signs(piece) else None
    return signature


def _run_of(piece: Piece) -> _Run:
    return _Run(piece, [piece.text], _signature_of(piece))


def _call(first: Piece, fragments: Sequence[str | None]) -> ToolCall:
    if len(fragments) == 1 and fragments[0] is not None:
        return ToolCall(first.name, _readable(fragments[0]), id=first.id, fragments="whole", index=first.own_index)
    text = "".join(one or "" for one in fragments)
    return ToolCall(first.name, text, id=first.id, fragments=tuple(fragments), index=first.own_index)


def _readable(text: str) -> Any:
    """Return arguments as a mapping, if that is written as just this text; else the text."""
    try:
        value = json.loads(text)
        is_same = isinstance(value, dict) and json.dumps(value, ensure_ascii=False, allow_nan=False) == text
    except (ValueError, RecursionError):
        return text
    return value if is_same else text


def _together(pieces: Sequence[Piece]) -> Together | None:
    """Return the step that says several pieces in one chunk; None if there is none."""
    if any((piece.step is not None and not _signs(piece)) or piece.null for piece in pieces):
        return None
    if any(piece.kind == "tool_call" and not piece.name for piece in pieces):
        return None
    try:
        return Together(*(_run_of(piece).step() for piece in pieces))  # type: ignore[arg-type] # it looks itself
    except ScriptError:
        return None
