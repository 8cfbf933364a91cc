"""The steps of a script: content, time and trouble.

The wall: frozen values, each checked when it is made; no clock, no input or output.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.legal import duration

from .gate import Gate

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Chunking: TypeAlias = Literal["word", "char"] | int | Callable[[str], Iterable[str]]

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
        msg = f"chunking={chunking!r} cut {text!r} into {list(deltas)!r}, but joined they are not the text"
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
            msg = f"ToolCall(name={self.name!r}): give the tool's name, a non-empty str"
            raise ScriptError(msg)
        if self.id is not None and (not isinstance(self.id, str) or not self.id):
            msg = f"ToolCall(id={self.id!r}): give a non-empty str, or None"
            raise ScriptError(msg)
        if not isinstance(self.arguments, str | Mapping):
            msg = f"ToolCall(arguments={self.arguments!r}): give a mapping, or JSON text as a str"
            raise ScriptError(msg)
        try:
            _ = self.json
        except (TypeError, ValueError) as error:
            msg = f"ToolCall(arguments={self.arguments!r}) cannot be written as JSON: {error}"
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
        object.__setattr__(self, "seconds", duration(seconds, "Wait()"))


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
        object.__setattr__(self, "seconds", None if seconds is None else duration(seconds, "Stall()"))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that its format does not allow; by default JSON that is cut off.

    Attributes:
        data: the garbage.
        framed: False puts it into the body as it is, without a frame around it: a proxy's page of HTML, or an error
            that came with status 200. Doors without frames take no notice.
    """

    data: str = '{"choices": [{'
    framed: bool = field(default=True, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            msg = f"Malformed({self.data!r}): give the garbage as a str"
            raise ScriptError(msg)
        _check_flag("Malformed", "framed", self.framed)


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

CONTENT = (Text, Reasoning, Refusal, ToolCall)
FAULTS = (Truncate, Disconnect, Stall, Malformed, ErrorEvent, HTTPError)
STEPS = (*CONTENT, Wait, Gate, KeepAlive, *FAULTS)
_ENDS = (Truncate, Disconnect, ErrorEvent, HTTPError)

T = TypeVar("T")
#: What a schedule is made of: units of output (chunks, later bytes), and the steps that are not output.
Played: TypeAlias = "T | Wait | Gate | KeepAlive | Fault"


def is_end(step: Step) -> bool:
    """Tell whether nothing can come after a step."""
    return isinstance(step, _ENDS) or (isinstance(step, Stall) and step.seconds is None)


def cut_step(step: Step, chunking: Chunking) -> tuple[str, ...]:
    """Return the deltas of a step, none of what is no content."""
    if isinstance(step, ToolCall):
        return ("", *cut(step.json, chunking))
    return step.deltas(chunking) if isinstance(step, _Prose) else ()
