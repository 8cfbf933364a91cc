"""The steps that combine others: chunks that come by turns, or several things in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

from .deltas import Chunking, Said
from .parts import PARTS, Part, Reasoning, Refusal, Text, ToolCall

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def _parts(name: str, parts: tuple[object, ...], once: tuple[type, ...]) -> tuple[Part, ...]:
    """Return the parts of a step that holds others; those of some kinds may come once only."""
    made = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    for part in made:
        if not isinstance(part, PARTS):
            msg = f"{name}(...): {brief(part)} cannot be in it: give {', '.join(kind.__name__ for kind in PARTS)}"
            raise ScriptError(msg)
    if len(made) < 2:
        raise ScriptError(f"{name}(...) has {len(made)} part{'s' * (not made)}: give at least two")
    for kind in once:
        if sum(isinstance(part, kind) for part in made) > 1:
            raise ScriptError(f"{name}(...) has more than one {kind.__name__}, which no reader can tell apart")
    return made  # type: ignore[return-value] # checked above


@dataclass(frozen=True, slots=True, init=False)
class Interleave:
    """Parts of the reply whose chunks come by turns: the first of each, the second of each, and so on.

    So come parallel tool calls from some servers; readers that append to "the last call" mix their arguments. Where the
    reply is not streamed the parts are one behind the other, and formats that send a call in one piece send each when
    its last fragment would have come.

    Args:
        *parts: at least two of ``ToolCall``, ``Text`` (or a ``str``), ``Reasoning`` and ``Refusal``; of all but tool
            calls one each.
        order: whose chunk comes when, as the numbers of the parts, from 0: ``[0, 1, 1, 0]``; by default by turns.

    Raises:
        ScriptError: a part cannot be in it, its chunks could not be told from another's, or the order has another
            number of chunks of a part than the part has.
    """

    parts: tuple[Part, ...]
    order: tuple[int, ...] | None

    def __init__(self, *parts: Part | str, order: Sequence[int] | None = None) -> None:
        made = _parts("Interleave", parts, (Text, Reasoning, Refusal))
        if order is not None and not (
            isinstance(order, list | tuple) and all(type(one) is int and 0 <= one < len(made) for one in order)
        ):
            raise ScriptError(f"Interleave(order={brief(order)}): give the numbers of its {len(made)} parts, from 0")
        object.__setattr__(self, "order", None if order is None else tuple(order))
        indexes = [part.index for part in made if isinstance(part, ToolCall) and part.index is not None]
        if len(set(indexes)) < len(indexes):
            raise ScriptError("Interleave(...) has two calls with the same index, which no reader can tell apart")
        object.__setattr__(self, "parts", made)

    def says(self, chunking: Chunking, calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        by_part = [part.says(chunking, calls) for part in self.parts]
        lengths = [len(said) for said in by_part]
        turns: list[Said] = []
        come = [0] * len(by_part)
        for number in self._turns(lengths):
            said = by_part[number][come[number]]
            come[number] += 1
            fields = Said(delta=said) if isinstance(said, str) else said
            unfinished = come[number] < lengths[number]
            turns.append(fields if "tool_call" in fields else {**fields, "unfinished": unfinished})
        return tuple(turns)

    def _turns(self, lengths: Sequence[int]) -> Iterable[int]:
        if self.order is None:
            return (number for turn in range(max(lengths)) for number, length in enumerate(lengths) if turn < length)
        for number, length in enumerate(lengths):
            if (given := self.order.count(number)) != length:
                part = f"part {number}, {brief(self.parts[number])}"
                msg = f"Interleave(order={brief(self.order)}) has {given} chunks of {part}: it has {length}"
                raise ScriptError(msg)
        return self.order


@dataclass(frozen=True, slots=True, init=False)
class Together:
    """Parts of the reply in one and the same chunk, as some servers send text with reasoning, or with a tool call.

    OpenAI's chats, Gemini and Ollama can say it; Anthropic and OpenAI's responses say one thing in an event.

    Args:
        *parts: at least two of ``Text`` (or a ``str``), ``Reasoning``, ``Refusal`` and ``ToolCall``, one each.

    Raises:
        ScriptError: a part cannot be in it, or comes twice.
    """

    parts: tuple[Part, ...]

    def __init__(self, *parts: Part | str) -> None:
        made = _parts("Together", parts, PARTS)
        if any(isinstance(part, Reasoning) and part.redacted for part in made):
            raise ScriptError("Together(...) has redacted reasoning, which has no text: give it before")
        if any(getattr(part, "new_block", False) for part in made):
            raise ScriptError("Together(...) has a part with new_block=True, and where such chunks are, no blocks are")
        object.__setattr__(self, "parts", made)

    def says(self, _chunking: Chunking, calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its one chunk adds to the reply."""
        together = Said()
        for part in self.parts:
            (said,) = (
                replace(part, fragments="whole") if isinstance(part, ToolCall) else replace(part, content=(part.text,))
            ).says("word", calls)
            together.update({"delta": said} if isinstance(said, str) else said)
        return (together,)
