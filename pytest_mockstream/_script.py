"""What a stream will play: steps, and the script that holds them.

The wall: no clock, no input or output. A script is checked whole when it is made; nothing is left to go wrong
while it plays.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from ._chunks import StreamChunk, ToolCallDelta, Transcript, Usage
from ._exceptions import ScriptError
from ._gate import Gate
from ._legal import duration
from ._pacing import Pacing
from ._shape import Between, Fragment, LineEnding, Shape

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Chunking: TypeAlias = "Literal['word', 'char'] | int | Callable[[str], Iterable[str]]"

_WORD = re.compile(r"\s*\S+\s*|\s+")


def cut(text: str, chunking: Chunking) -> tuple[str, ...]:
    """Cut text into deltas; joined they are the text again.

    Args:
        text: what to cut.
        chunking: ``"word"`` (each with the white space behind it), ``"char"``, a number of characters, or a callable.

    Raises:
        ScriptError: the chunking is none of these, or the callable's deltas are not the text.
    """
    if isinstance(chunking, str) or chunking is None or isinstance(chunking, bool):
        if chunking == "word":
            return tuple(_WORD.findall(text))
        if chunking == "char":
            return tuple(text)
    elif isinstance(chunking, int):
        if chunking > 0:
            return tuple(text[i : i + chunking] for i in range(0, len(text), chunking))
    elif callable(chunking):
        return _cut_by(chunking, text)
    msg = f"chunking={chunking!r} is not known: give 'word', 'char', an int > 0 or a callable str -> list[str]"
    raise ScriptError(msg)


def _cut_by(chunking: Callable[[str], Iterable[str]], text: str) -> tuple[str, ...]:
    deltas = tuple(chunking(text))
    if not all(isinstance(delta, str) for delta in deltas) or "".join(deltas) != text:
        msg = f"chunking={chunking!r} cut {text!r} into {list(deltas)!r}, which joined is not the text"
        raise ScriptError(msg)
    return deltas


@dataclass(frozen=True, slots=True)
class _Prose:
    """Text of some kind: cut by the script's chunking, or given as an iterable of the exact deltas."""

    content: str | Iterable[str]

    def __post_init__(self) -> None:
        if isinstance(self.content, str):
            return
        kind = type(self).__name__
        try:
            deltas = tuple(self.content)
        except TypeError:
            msg = f"{kind}({self.content!r}): give a str, or an iterable of str for the exact deltas"
            raise ScriptError(msg) from None
        if wrong := [delta for delta in deltas if not isinstance(delta, str)]:
            msg = f"{kind}([...]): every delta must be a str, got {wrong[0]!r}"
            raise ScriptError(msg)
        object.__setattr__(self, "content", deltas)

    @property
    def text(self) -> str:
        """The whole text."""
        return self.content if isinstance(self.content, str) else "".join(self.content)

    def deltas(self, chunking: Chunking) -> tuple[str, ...]:
        """Return the text cut by ``chunking``, unless the deltas were given."""
        return cut(self.content, chunking) if isinstance(self.content, str) else tuple(self.content)


@dataclass(frozen=True, slots=True)
class Text(_Prose):
    """Content. ``Text("one two")`` is cut by the script's chunking; ``Text(["o", "ne"])`` gives the exact deltas."""


@dataclass(frozen=True, slots=True)
class Reasoning(_Prose):
    """Reasoning ("thinking") that a model streams beside its content; cut as ``Text`` is."""


@dataclass(frozen=True, slots=True)
class Refusal(_Prose):
    """A refusal, in the formats that have a field of its own for it; cut as ``Text`` is."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call; its arguments are streamed as fragments of JSON text, cut by the script's chunking.

    Attributes:
        name: the tool's name.
        arguments: a mapping, or the JSON text itself, which may be broken on purpose.
        id: the call's id; default: ``"call_1"``, ``"call_2"``, … in the order of the script.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            msg = f"ToolCall name {self.name!r} is not a tool's name: give a str that is not empty"
            raise ScriptError(msg)
        if self.id is not None and (not isinstance(self.id, str) or not self.id):
            msg = f"ToolCall id {self.id!r} is not an id: give a str that is not empty, or None"
            raise ScriptError(msg)
        if not isinstance(self.arguments, str | Mapping):
            msg = f"ToolCall arguments {self.arguments!r}: give a mapping, or JSON text as a str"
            raise ScriptError(msg)
        try:
            _ = self.json
        except (TypeError, ValueError) as error:
            msg = f"ToolCall arguments {self.arguments!r} cannot be written as JSON: {error}"
            raise ScriptError(msg) from None

    @property
    def json(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True, slots=True, init=False)
class Wait:
    """Nothing comes for so many seconds (or ``"50ms"``, ``"2m"``), on top of the pacing."""

    seconds: float

    def __init__(self, seconds: float | str) -> None:
        object.__setattr__(self, "seconds", duration(seconds, "Wait"))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A frame without content that keeps connections open: an SSE comment or a provider's ping. Readers skip it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """The stream ends cleanly, but too early and without its last chunk. Every SDK takes that for success.

    Attributes:
        inside_frame: the first half of one more frame comes before the end. Doors without frames take no notice.
    """

    inside_frame: bool = False

    def __post_init__(self) -> None:
        _check_flag("Truncate", "inside_frame", self.inside_frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The connection breaks.

    As the first step, it breaks before status and headers were sent: what a retrying client may try again.

    Attributes:
        how: ``"reset"`` (TCP RST), or ``"cut"``: closed in order, but the HTTP body is without its end.
        inside_frame: the first half of one more frame comes before the break. Doors without frames take no notice.
    """

    how: Literal["reset", "cut"] = "reset"
    inside_frame: bool = False

    def __post_init__(self) -> None:
        if self.how not in {"reset", "cut"}:
            msg = f"Disconnect(how={self.how!r}) is not known: give 'reset' or 'cut'"
            raise ScriptError(msg)
        _check_flag("Disconnect", "inside_frame", self.inside_frame)


def _check_flag(step: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        msg = f"{step}({name}={value!r}): give True or False"
        raise ScriptError(msg)


@dataclass(frozen=True, slots=True, init=False)
class Stall:
    """Silence, with the connection open: for so many seconds, or for ever with None."""

    seconds: float | None

    def __init__(self, seconds: float | str | None = None) -> None:
        object.__setattr__(self, "seconds", None if seconds is None else duration(seconds, "Stall"))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that its format does not allow; by default JSON that is cut off."""

    data: str = '{"choices": [{'

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            msg = f"Malformed({self.data!r}): give the garbage as a str"
            raise ScriptError(msg)


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The provider reports an error inside a stream that had already begun with status 200.

    Attributes:
        message: what the provider says.
        type: the provider's word for it, as ``"overloaded_error"``; default: the wire format's usual one.
    """

    message: str = "The server had an error while processing your request"
    type: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class HTTPError:
    """The provider answers with an HTTP error instead of a stream.

    Attributes:
        status: 400 to 599.
        retry_after: seconds for the ``Retry-After`` header, or None for no such header.
        message: what the body says.
    """

    status: int
    retry_after: float | None = field(default=None, kw_only=True)
    message: str = field(default="The request failed", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.status, bool) or not isinstance(self.status, int) or not 400 <= self.status <= 599:
            msg = f"HTTPError({self.status!r}) is not an error status: give an int from 400 to 599"
            raise ScriptError(msg)
        if self.retry_after is not None:
            object.__setattr__(self, "retry_after", duration(self.retry_after, "retry_after"))


Content: TypeAlias = Text | Reasoning | Refusal | ToolCall
Fault: TypeAlias = Truncate | Disconnect | Stall | Malformed | ErrorEvent | HTTPError
Step: TypeAlias = Content | Wait | Gate | KeepAlive | Fault

_CONTENT = (Text, Reasoning, Refusal, ToolCall)
FAULTS = (Truncate, Disconnect, Stall, Malformed, ErrorEvent, HTTPError)
_LEGAL = (*_CONTENT, Wait, Gate, KeepAlive, *FAULTS)
_ENDS = (Truncate, Disconnect, ErrorEvent, HTTPError)

_DEFAULTS = {"chunking": "word", "times": 1}

T = TypeVar("T")
#: What a schedule is made of: units of output (chunks, later bytes), and the steps that are not output.
Played: TypeAlias = "T | Wait | Gate | KeepAlive | Fault"


class Script:
    r"""A tuple of steps and how they are to be played; frozen, and checked whole when it is made.

    Args:
        *steps: content (``Text``, ``Reasoning``, ``Refusal``, ``ToolCall``; a ``str`` is a ``Text``), time (``Wait``,
            ``Gate``, ``KeepAlive``) and faults. Another ``Script`` gives its steps; it may have no settings.
        delay: seconds before each chunk; None leaves it to the client. See also ``tokens_per_second``.
        ttft: seconds before the first chunk.
        jitter: gaps vary by up to so many seconds.
        seed: of the jitter.
        tokens_per_second: instead of ``delay``.
        chunking: how text is cut: ``"word"``, ``"char"``, a number of characters, or a callable ``str -> list[str]``.
        finish_reason: why the model stops; default ``"stop"``, or ``"tool_calls"`` if the script calls a tool.
        usage: tokens used; default: words of the prompt and number of chunks.
        times: how many requests the script answers; None for any number.
        fragment: where the HTTP body is cut: ``"byte"``, a number of bytes, or ``"random"`` by ``seed``.
        line_ending: of the HTTP body: ``"\n"`` or ``"\r\n"``.
        between: what stands between frames of the HTTP body: ``"comment"`` or ``"ping"``.
        duplicate: every so-many-th frame of the HTTP body comes twice.

    Attributes:
        options: the settings that are not the default.
        chunk_count: how many chunks a whole reading gets, the last one (with the finish reason) included.

    Raises:
        ScriptError: something in it cannot be played.
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

    def __init__(
        self,
        *steps: Step | Script | str,
        delay: float | str | None = None,
        ttft: float | str | None = None,
        jitter: float | str | None = None,
        seed: int | None = None,
        tokens_per_second: float | None = None,
        chunking: Chunking = "word",
        finish_reason: str | None = None,
        usage: Usage | None = None,
        times: int | None = 1,
        fragment: Fragment | None = None,
        line_ending: LineEnding | None = None,
        between: Between | None = None,
        duplicate: int | None = None,
    ) -> None:
        given = {
            "delay": delay,
            "ttft": ttft,
            "jitter": jitter,
            "seed": seed,
            "tokens_per_second": tokens_per_second,
            "chunking": chunking,
            "finish_reason": finish_reason,
            "usage": usage,
            "times": times,
            "fragment": fragment,
            "line_ending": line_ending,
            "between": between,
            "duplicate": duplicate,
        }
        self.options: dict[str, Any] = {name: value for name, value in given.items() if value != _DEFAULTS.get(name)}
        self.shape = Shape(fragment=fragment, line_ending=line_ending, between=between, duplicate=duplicate)
        self.steps = tuple(_coerce(steps))
        self.pacing = Pacing(
            delay=delay,  # type: ignore[arg-type] # text is turned into seconds there
            ttft=ttft,  # type: ignore[arg-type]
            jitter=jitter,  # type: ignore[arg-type]
            seed=seed,
            tokens_per_second=tokens_per_second,
        )
        self.chunking = chunking
        called = any(isinstance(step, ToolCall) for step in self.steps)
        self.finish_reason = finish_reason if finish_reason is not None else "tool_calls" if called else "stop"
        self.usage = usage
        self.times = times
        self._check()
        self.gates = tuple(step for step in self.steps if isinstance(step, Gate))
        self._cuts = tuple(_cut_step(step, chunking) for step in self.steps)
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
            msg = f"finish_reason={self.finish_reason!r}: give a str that is not empty, such as 'stop' or 'length'"
            raise ScriptError(msg)
        if self.usage is not None and not isinstance(self.usage, Usage):
            msg = f"usage={self.usage!r}: give a Usage(prompt_tokens=..., completion_tokens=...)"
            raise ScriptError(msg)
        for position, step in enumerate(self.steps):
            self._check_place(position, step)

    def _check_place(self, position: int, step: Step) -> None:
        if _is_end(step) and position + 1 < len(self.steps):
            msg = f"{self.steps[position + 1]!r} is never played: it comes after {step!r}, which ends the stream"
            raise ScriptError(msg)
        if isinstance(step, HTTPError):
            for before in self.steps[:position]:
                if not isinstance(before, Wait | Gate):
                    msg = f"{step!r} comes after {before!r}: a status is sent before any content; use ErrorEvent there"
                    raise ScriptError(msg)

    def _is_whole(self) -> bool:
        return not self.steps or not _is_end(self.steps[-1])

    def schedule(
        self, *, pacing: Pacing | None = None, salt: int = 0, prompt_tokens: int = 0
    ) -> Iterator[Played[StreamChunk]]:
        """Yield what is to be played: chunks, each with a ``Wait`` before it if it takes time, and all other steps.

        Args:
            pacing: decides what this script leaves open.
            salt: tells apart the jitter of streams that share a seed.
            prompt_tokens: for the usage, where the script gives none.
        """
        gaps = (self.pacing if pacing is None else self.pacing.over(pacing)).gaps(salt=salt)
        transcript = Transcript()
        index = calls = 0
        for step, deltas in zip(self.steps, self._cuts, strict=True):
            if not isinstance(step, _CONTENT):
                yield step
                continue
            for place, delta in enumerate(deltas):
                if gap := next(gaps):
                    yield Wait(gap)
                yield _chunk(step, delta, index=index, call=calls, first=place == 0, transcript=transcript)
                index += 1
            calls += isinstance(step, ToolCall)
        if not self._is_whole():
            return
        transcript.append("")
        yield StreamChunk(
            index=index,
            role=None if index else "assistant",
            finish_reason=self.finish_reason,
            usage=self.usage or Usage(prompt_tokens=prompt_tokens, completion_tokens=index),
            _transcript=transcript,
        )


def _is_end(step: Step) -> bool:
    return isinstance(step, _ENDS) or (isinstance(step, Stall) and step.seconds is None)


def _coerce(steps: Iterable[object]) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, str):
            yield Text(step)
        elif isinstance(step, Script):
            if step.options:
                msg = f"{step!r} has settings of its own ({step.options}), which get lost inside of another script"
                raise ScriptError(msg + ": give them to the outer one, or queue the script alone")
            yield from step.steps
        elif isinstance(step, _LEGAL):
            yield step
        else:
            msg = (
                f"{step!r} is not a step. A step is a str, or one of: {', '.join(kind.__name__ for kind in _LEGAL)}."
                + _hint(step)
            )
            raise ScriptError(msg)


def _hint(step: object) -> str:
    if isinstance(step, type) and issubclass(step, _LEGAL):
        return f" Did you mean {step.__name__}()?"
    if isinstance(step, list | tuple):
        return f" For exact deltas write Text({step!r})."
    if isinstance(step, int | float) and not isinstance(step, bool):
        return f" For a pause write Wait({step!r})."
    return ""


def _cut_step(step: Step, chunking: Chunking) -> tuple[str, ...]:
    if isinstance(step, ToolCall):
        return ("", *cut(step.json, chunking))
    return step.deltas(chunking) if isinstance(step, _Prose) else ()


def _chunk(step: Content, delta: str, *, index: int, call: int, first: bool, transcript: Transcript) -> StreamChunk:
    role = None if index else "assistant"
    if type(step) is Text:
        transcript.append(delta)
        return StreamChunk(index=index, delta=delta, role=role, _transcript=transcript)
    transcript.append("")
    if isinstance(step, ToolCall):
        identity = {"id": step.id or f"call_{call + 1}", "name": step.name} if first else {}
        fragment = ToolCallDelta(index=call, arguments=delta, **identity)
        return StreamChunk(index=index, tool_call=fragment, role=role, _transcript=transcript)
    if isinstance(step, Reasoning):
        return StreamChunk(index=index, reasoning=delta, role=role, _transcript=transcript)
    return StreamChunk(index=index, refusal=delta, role=role, _transcript=transcript)
