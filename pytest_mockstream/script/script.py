"""``Script``: the steps that a stream will play, and how.

A script is checked completely when it is made, so that nothing can go wrong while it plays. It has no clock and waits
for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Unpack

from pytest_mockstream._base.errors import ScriptError

from .chunks import StreamChunk, ToolCallDelta, Transcript, Usage
from .gate import Gate
from .hints import hint
from .options import DEFAULTS, PACING_OPTIONS, SHAPE_OPTIONS, ScriptOptions, check_names, lists_options
from .pacing import Pacing
from .shape import Shape
from .steps import (
    CONTENT,
    STEPS,
    Chunking,
    Content,
    HTTPError,
    Played,
    Reasoning,
    Step,
    Text,
    ToolCall,
    Wait,
    cut_step,
    is_end,
)

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class Script:
    r"""What a stream will play: steps, and the settings for them. Frozen, and checked when it is made.

    Args:
        *steps: what the stream plays, in order. Content: a ``str`` or ``Text``, ``Reasoning``, ``Refusal``,
            ``ToolCall``; time: ``Wait``, ``Gate``, ``KeepAlive``; faults: ``Truncate``, ``Disconnect``, ``Stall``,
            ``Malformed``, ``ErrorEvent``, ``HTTPError``. Another ``Script`` stands for its steps; it must have no
            settings of its own.
        delay: seconds before each chunk of content (or ``"50ms"``, ``"1.5s"``, ``"2m"``); None leaves it to the client
            or the settings of the test, in the end 0.
        ttft: seconds before the first chunk of content (time to first token); None makes it ``delay``.
        jitter: the largest random change of each ``delay``, plus or minus, in seconds.
        seed: the seed of all that is random in the script; the same seed gives the same stream.
        tokens_per_second: the inverse of ``delay``, to be given instead of it; one chunk counts as one token.
        chunking: how text is cut into chunks: ``"word"``, ``"char"``, a number of characters, or a callable that takes
            the text and returns its parts.
        finish_reason: why the model stops; by default ``"stop"``, or ``"tool_calls"`` if the script calls a tool.
        usage: the tokens used; by default the words of the prompt and the number of chunks.
        times: how many requests the script answers; None for any number.
        fragment: the HTTP body comes in pieces of one ``"byte"``, of this many bytes, or of ``"random"`` lengths.
        line_ending: the line ending of the HTTP body: ``"\n"`` or ``"\r\n"``.
        between: what comes between the frames of the HTTP body: a ``"comment"`` or a ``"ping"``.
        duplicate: each n-th frame of the HTTP body comes twice.

    Attributes:
        steps: the steps; text given as ``str`` is a ``Text``.
        options: the settings that differ from the default.
        chunk_count: how many chunks a reader gets who reads to the end, including the last one, which has the finish
            reason.

    Raises:
        ScriptError: something in it cannot be played; the message names the value and what is legal.
        TypeError: there is no such keyword.
    """

    __slots__ = (
        "_cuts",
        "chunk_count",
        "chunking",
        "finish_reason",
        "gates",
        "options",
        "pacing",
        "shape",
        "steps",
        "times",
        "usage",
    )

    @lists_options
    def __init__(self, *steps: Step | Script | str, **options: Unpack[ScriptOptions]) -> None:
        check_names(options)
        given: dict[str, Any] = {**DEFAULTS, **options}
        self.options = {name: value for name, value in given.items() if value != DEFAULTS[name]}
        self.shape = Shape(**{name: given[name] for name in SHAPE_OPTIONS})
        self.steps = tuple(_coerce(steps))
        self.pacing = Pacing(**{name: given[name] for name in PACING_OPTIONS})
        self.chunking: Chunking = given["chunking"]
        self.finish_reason: str = given["finish_reason"]
        if self.finish_reason is None:
            self.finish_reason = "tool_calls" if any(isinstance(step, ToolCall) for step in self.steps) else "stop"
        self.usage: Usage | None = given["usage"]
        self.times: int | None = given["times"]
        self._check()
        self.gates = tuple(step for step in self.steps if isinstance(step, Gate))
        self._cuts = tuple(cut_step(step, self.chunking) for step in self.steps)
        self.chunk_count = sum(map(len, self._cuts)) + self._is_whole()

    def __repr__(self) -> str:
        return f"Script({', '.join(map(repr, self.steps))})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Script):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((len(self.steps), self.finish_reason, self.times))

    def _key(self) -> tuple[object, ...]:
        return (self.steps, self.pacing, self.shape, self._cuts, self.finish_reason, self.usage, self.times)

    def _check(self) -> None:
        if self.times is not None and (
            isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1
        ):
            msg = f"times={self.times!r}: give an int > 0, or None to answer any number of requests"
            raise ScriptError(msg)
        if not isinstance(self.finish_reason, str) or not self.finish_reason:
            msg = f"finish_reason={self.finish_reason!r}: give a non-empty str, such as 'stop' or 'length'"
            raise ScriptError(msg)
        if self.usage is not None and not isinstance(self.usage, Usage):
            msg = f"usage={self.usage!r}: give a Usage(prompt_tokens=..., completion_tokens=...)"
            raise ScriptError(msg)
        for position, step in enumerate(self.steps):
            self._check_place(position, step)

    def _check_place(self, position: int, step: Step) -> None:
        if is_end(step) and position + 1 < len(self.steps):
            msg = f"{self.steps[position + 1]!r} is never played: it comes after {step!r}, which ends the stream"
            raise ScriptError(msg)
        if isinstance(step, HTTPError):
            for before in self.steps[:position]:
                if not isinstance(before, Wait | Gate):
                    msg = f"{step!r} comes after {before!r}: a status is sent before any content; use ErrorEvent there"
                    raise ScriptError(msg)

    def _is_whole(self) -> bool:
        return not self.steps or not is_end(self.steps[-1])

    def schedule(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk]]:
        """Yield what is to be played: chunks, each after a ``Wait`` if it takes time, and all other steps.

        Args:
            pacing: for what the script leaves open.
            salt: gives streams with the same seed different jitter.
            prompt_tokens: for the usage, if the script does not set it.
        """
        transcript = Transcript()
        index = 0
        for unit in self.units(pacing=pacing, salt=salt, prompt_tokens=prompt_tokens):
            if isinstance(unit, str):
                transcript.append(unit)
                yield StreamChunk(index=index, delta=unit, _transcript=transcript)
            elif isinstance(unit, StreamChunk):
                transcript.append(unit.delta)
                object.__setattr__(unit, "_transcript", transcript)  # nobody else has seen it yet
                yield unit
            else:
                yield unit
                continue
            index += 1

    def units(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk | str]]:
        """Do as ``schedule``, but yield the bare text of a chunk that has nothing else.

        Most chunks are such, and whoever makes bytes of them needs no more: this saves the objects.
        """
        gaps = (self.pacing if pacing is None else self.pacing.over(pacing)).gaps(salt=salt)
        index = calls = 0
        for step, deltas in zip(self.steps, self._cuts, strict=True):
            if not isinstance(step, CONTENT):
                yield step
                continue
            is_text = isinstance(step, Text)
            for place, delta in enumerate(deltas):
                if gap := next(gaps):
                    yield Wait(gap)
                if is_text and index:
                    yield delta
                else:
                    yield _chunk(step, delta, index=index, call=calls, first=place == 0)
                index += 1
            calls += isinstance(step, ToolCall)
        if self._is_whole():
            yield StreamChunk(
                index=index,
                role=None if index else "assistant",
                finish_reason=self.finish_reason,
                usage=self.usage or Usage(prompt_tokens=prompt_tokens, completion_tokens=index),
            )


def _coerce(steps: Iterable[object]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, str):
            yield Text(step)
        elif isinstance(step, Script):
            if step.options:
                msg = f"{step!r} has settings of its own ({step.options}), which would be lost inside another script"
                raise ScriptError(msg + ": give them to the outer one, or queue the script alone")
            yield from step.steps
        elif isinstance(step, STEPS):
            yield step
        else:
            msg = (
                f"{step!r} is not a step. A step is a str, or one of: {', '.join(kind.__name__ for kind in STEPS)}."
                + hint(step)
            )
            raise ScriptError(msg)


def _chunk(step: Content, delta: str, *, index: int, call: int, first: bool) -> StreamChunk:
    role = None if index else "assistant"
    if isinstance(step, Text):
        return StreamChunk(index=index, delta=delta, role=role)
    if isinstance(step, ToolCall):
        identity = {"id": step.id or f"call_{call + 1}", "name": step.name} if first else {}
        return StreamChunk(index=index, tool_call=ToolCallDelta(index=call, arguments=delta, **identity), role=role)
    if isinstance(step, Reasoning):
        return StreamChunk(index=index, reasoning=delta, role=role)
    return StreamChunk(index=index, refusal=delta, role=role)
