"""``Script``: the steps that a stream will play, and how.

A script is checked completely when it is made, so that nothing can go wrong while it plays. It has no clock and waits
for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, count
from typing import Any, Unpack

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration
from pytest_mockstream._base.redaction import brief

from .chunks import ItemChunk, StreamChunk, Transcript, Usage
from .content import with_parts
from .deltas import Chunking, Said
from .gate import Gate
from .headers import headers_of
from .hints import hint
from .options import DEFAULTS, PACING_OPTIONS, SHAPE_OPTIONS, ScriptOptions, check_names, lists_options
from .pacing import Pacing
from .shape import Shape
from .steps import (
    CONTENT,
    FAULTS,
    STEPS,
    Citation,
    End,
    ErrorEvent,
    Fault,
    Frame,
    HTTPError,
    Played,
    Step,
    Text,
    ToolCall,
    Truncate,
    Wait,
    is_end,
)

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MORE = frozenset({"item", "unfinished", "new_block", "empty"})  # what only an ItemChunk has
_NOT_AFTER_END = (*(kind for kind in CONTENT if kind is not Frame), End, HTTPError, ErrorEvent, Truncate)
_AFTER_END = "Wait, Gate, Stall, KeepAlive, Frame, Malformed and Disconnect"


class Script:
    r"""What a stream will play: steps, and the settings for them. Frozen, and checked when it is made.

    Args:
        *steps: what the stream plays, in order. Content: a ``str`` or ``Text``, ``Reasoning``, ``Refusal``,
            ``ToolCall``, ``Interleave``, ``Together``, ``ServerTool``, ``Citation``, ``Image``, ``Frame``; time:
            ``Wait``, ``Gate``, ``KeepAlive``, ``End``; faults: ``Truncate``, ``Disconnect``, ``Stall``, ``Malformed``,
            ``ErrorEvent``, ``Failed``, ``HTTPError``. Another ``Script`` stands for its steps; it must have no settings
            of its own.
        delay: seconds before each chunk of content (or ``"50ms"``, ``"1.5s"``, ``"2m"``); None leaves it to the client
            or the settings of the test, in the end 0.
        ttft: seconds before the first chunk of content (time to first token); None makes it ``delay``.
        jitter: the largest random change of each ``delay``, plus or minus, in seconds.
        seed: the seed of all that is random in the script; the same seed gives the same stream.
        tokens_per_second: the inverse of ``delay``, to be given instead of it; one chunk counts as one token.
        gaps: seconds before each chunk, one by one (or ``"50ms"``): those of a recording. ``delay`` and the like are
            for the chunks after them.
        chunking: how text is cut into chunks: ``"word"``, ``"char"``, a number of characters, or a callable that takes
            the text and returns its parts.
        finish_reason: why the model stops; by default ``"stop"``, or ``"tool_calls"`` if the script calls a tool.
        usage: the tokens used; by default the words of the prompt and the number of chunks.
        times: how many requests the script answers; None for any number.
        fragment: the HTTP body comes in pieces of one ``"byte"``, of this many bytes, or of ``"random"`` lengths.
        line_ending: the line ending of the HTTP body: ``"\n"`` or ``"\r\n"``.
        between: what comes between the frames of the HTTP body: a ``"comment"`` or a ``"ping"``.
        duplicate: each n-th frame of the HTTP body comes twice.
        headers: headers of the HTTP answer, such as rate limits or a request id; they replace what it has anyway.

    Attributes:
        steps: the steps; text given as ``str`` is a ``Text``.
        options: the settings that differ from the default.
        chunk_count: how many chunks a reader gets who reads to the end, including the last one, which has the finish
            reason.
        contents: the steps with content, and the parts in them.
        frames: the steps that are frames in the user's own words.

    Raises:
        ScriptError: something in it cannot be played; the message names the value and what is legal.
        TypeError: there is no such keyword.
    """

    __slots__ = (
        "_complete_at",
        "_end_at",
        "_said",
        "chunk_count",
        "chunking",
        "contents",
        "finish_reason",
        "frames",
        "gaps",
        "gates",
        "headers",
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
        self.contents = tuple(part for step in self.steps if isinstance(step, CONTENT) for part in with_parts(step))
        self.pacing = Pacing(**{name: given[name] for name in PACING_OPTIONS})
        self.gaps = _durations(given["gaps"])
        self.chunking: Chunking = given["chunking"]
        self.finish_reason: str = given["finish_reason"]
        if self.finish_reason is None:
            self.finish_reason = "tool_calls" if any(isinstance(step, ToolCall) for step in self.contents) else "stop"
        self.usage: Usage | None = given["usage"]
        self.times: int | None = given["times"]
        self._end_at = next((place for place, step in enumerate(self.steps) if isinstance(step, End)), None)
        self.headers = headers_of(given["headers"])
        self._check()
        self.gates = tuple(step for step in self.steps if isinstance(step, Gate))
        self.frames = tuple(step for step in self.steps if isinstance(step, Frame))
        self._said = self._what_is_said()
        self._complete_at = self._completing_frame()
        self.chunk_count = sum(map(len, filter(None, self._said))) + (self._is_whole() and self._complete_at is None)

    def __repr__(self) -> str:
        return f"Script({', '.join(map(repr, self.steps))})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Script):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((len(self.steps), self.finish_reason, self.times))

    def _key(self) -> tuple[object, ...]:
        return (
            self.steps,
            self.pacing,
            self.gaps,
            self.shape,
            self._said,
            self.finish_reason,
            self.usage,
            self.times,
            self.headers,
        )

    def _check(self) -> None:
        if self.times is not None and (
            isinstance(self.times, bool) or not isinstance(self.times, int) or self.times < 1
        ):
            msg = f"times={brief(self.times)}: give an int > 0, or None to answer any number of requests"
            raise ScriptError(msg)
        if not isinstance(self.finish_reason, str) or not self.finish_reason:
            msg = f"finish_reason={brief(self.finish_reason)}: give a non-empty str, such as 'stop' or 'length'"
            raise ScriptError(msg)
        if self.usage is not None and not isinstance(self.usage, Usage):
            msg = f"usage={brief(self.usage)}: give a Usage(prompt_tokens=..., completion_tokens=...)"
            raise ScriptError(msg)
        for position, step in enumerate(self.steps):
            self._check_place(position, step)

    def _what_is_said(self) -> tuple[tuple[str | Said, ...] | None, ...]:
        """Return what the chunks of each step add to the reply; None for a step without chunks."""
        calls = count()
        counted = len(self.steps) if self._end_at is None else self._end_at
        found: list[tuple[str | Said, ...] | None] = []
        text = last = ""
        cites = any(isinstance(step, Citation) for step in self.contents)
        for place, step in enumerate(self.steps):
            if not isinstance(step, CONTENT) or (isinstance(step, Frame) and (place > counted or not step.chunks)):
                found.append(None)
                continue
            placed = step.after(text, last) if isinstance(step, Citation) else step
            found.append(placed.says(self.chunking, calls))
            if cites and (said := "".join(part.text for part in with_parts(step) if isinstance(part, Text))):
                text, last = text + said, said
        return tuple(found)

    def _completing_frame(self) -> int | None:
        """Return the position of the frame that is the last chunk; None unless frames alone are the whole body."""
        speaking = [place for place, said in enumerate(self._said) if said is not None]
        is_body = speaking and self._is_whole() and all(isinstance(self.steps[place], Frame) for place in speaking)
        return speaking[-1] if is_body else None

    def _check_place(self, position: int, step: Step) -> None:
        if is_end(step) and position + 1 < len(self.steps):
            never = brief(self.steps[position + 1])
            msg = f"{never} is never played: it comes after {brief(step)}, which ends the stream"
            raise ScriptError(msg)
        if isinstance(step, _NOT_AFTER_END) and self._end_at is not None and position > self._end_at:
            msg = f"{brief(step)} comes after End(): after the last chunk come only {_AFTER_END}"
            raise ScriptError(msg)
        if isinstance(step, HTTPError):
            for before in self.steps[:position]:
                if not isinstance(before, Wait | Gate):
                    msg = (
                        f"{brief(step)} comes after {brief(before)}: a status is sent before any content; use"
                        " ErrorEvent there"
                    )
                    raise ScriptError(msg)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that it plays."""
        return tuple(step for step in self.steps if isinstance(step, FAULTS))

    @property
    def frames_after_end(self) -> bool:
        """Whether a frame comes after ``End``."""
        return self._end_at is not None and any(isinstance(step, Frame) for step in self.steps[self._end_at :])

    def _is_whole(self) -> bool:
        return not self.steps or not is_end(self.steps[-1]) or self._end_at is not None

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
                if unit.finish_reason is not None:
                    return  # what comes after it has no chunks
            else:
                yield unit
                continue
            index += 1

    def units(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk | str]]:
        """Do as ``schedule``, but yield the bare text of a chunk that has nothing else, and what comes after the last.

        Most chunks are such, and whoever makes bytes of them needs no more: this saves the objects.
        """
        gaps = (self.pacing if pacing is None else self.pacing.over(pacing)).gaps(salt=salt)
        if self.gaps:
            gaps = chain(self.gaps, gaps)
        complete_at = self._complete_at
        index, is_open = 0, self._is_whole() and complete_at is None
        for place, (step, said) in enumerate(zip(self.steps, self._said, strict=True)):
            if said is None:
                if not isinstance(step, End):
                    yield step  # type: ignore[misc] # of the steps with content only an uncounted frame has no chunks
                elif is_open:
                    is_open = False
                    yield from self._complete(index, prompt_tokens)
                continue
            is_text = isinstance(step, Text)
            for delta in said:
                if gap := next(gaps):
                    yield Wait(gap)
                if is_text and index and isinstance(delta, str):
                    yield delta
                elif place == complete_at and isinstance(step, Frame):
                    yield self._last(index, prompt_tokens, step)
                else:
                    fields: Said = {"delta": delta} if isinstance(delta, str) else delta
                    made: type[StreamChunk] = ItemChunk if _MORE & fields.keys() else StreamChunk
                    yield made(index=index, role=self._role(index), **fields)  # type: ignore[misc] # see _MORE
                index += 1
        if is_open:
            yield from self._complete(index, prompt_tokens)

    def _complete(self, index: int, prompt_tokens: int) -> Iterator[Wait | StreamChunk]:
        """Yield the last chunk, which takes time only where its gap is given."""
        if index < len(self.gaps) and self.gaps[index]:
            yield Wait(self.gaps[index])
        yield self._last(index, prompt_tokens)

    def _role(self, index: int) -> str | None:
        return None if index or self._complete_at is not None else "assistant"

    def _last(self, index: int, prompt_tokens: int, frame: Frame | None = None) -> StreamChunk:
        said: dict[str, Any] = {
            "index": index,
            "role": self._role(index),
            "finish_reason": self.finish_reason,
            "usage": self.usage or Usage(prompt_tokens=prompt_tokens, completion_tokens=index),
        }
        return StreamChunk(**said) if frame is None else ItemChunk(item=frame, **said)


def _durations(gaps: object) -> tuple[float, ...]:
    if gaps is None:
        return ()
    if not isinstance(gaps, list | tuple):
        raise ScriptError(f"gaps={brief(gaps)}: give a list of seconds, one for each chunk")
    return tuple(duration(gap, "gaps") for gap in gaps)


def _coerce(steps: Iterable[object]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, str):
            yield Text(step)
        elif isinstance(step, Script):
            if step.options:
                msg = (
                    f"{brief(step)} has settings of its own ({step.options}), which would be lost inside another script"
                )
                raise ScriptError(msg + ": give them to the outer one, or queue the script alone")
            yield from step.steps
        elif isinstance(step, STEPS):
            yield step
        else:
            msg = (
                f"{brief(step)} is not a step."
                f" A step is a str, or one of: {', '.join(kind.__name__ for kind in STEPS)}.{hint(step)}"
            )
            raise ScriptError(msg)
