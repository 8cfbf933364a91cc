"""The steps of a script: content, time and faults; frozen values, each checked when it is made."""

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
    """Cut text into deltas, which joined are the text again.

    Args:
        text: what to cut.
        chunking: ``"word"`` (each with the white space after it), ``"char"``, a number of characters, or a callable
            that takes the text and returns the deltas.

    Raises:
        ScriptError: the chunking is none of these, or the callable's deltas joined are not the text.
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
    """Some kind of text: cut by the script's chunking, or given as an iterable of the exact deltas."""

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
    """Text of the reply. A plain ``str`` as a step means the same.

    Attributes:
        content: a ``str``, which the script's ``chunking`` cuts into deltas, or an iterable of the exact deltas.

    Raises:
        ScriptError: it is neither.

    Example:
        >>> Text("Hello there").deltas("word")
        ('Hello ', 'there')
        >>> Text(["Hel", "lo"]).deltas("word")
        ('Hel', 'lo')
    """


@dataclass(frozen=True, slots=True)
class Reasoning(_Prose):
    """Reasoning ("thinking") that a model streams besides its text; takes and raises what ``Text`` does."""


@dataclass(frozen=True, slots=True)
class Refusal(_Prose):
    """A refusal to answer; takes and raises what ``Text`` does.

    OpenAI's formats have a field for it (https://platform.openai.com/docs/guides/structured-outputs#refusals); in the
    others it is text, and Anthropic's stop reason says so.
    """


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool. Its arguments are streamed as JSON text, which the script's ``chunking`` cuts.

    Formats that send a call in one piece (Gemini, Ollama) send it when its last fragment would have come.

    Attributes:
        name: the tool's name.
        arguments: a mapping, or the JSON text itself, which need not be valid: models send broken JSON, too.
        id: the call's id; by default ``"call_1"``, ``"call_2"``, … in the order of the script.

    Raises:
        ScriptError: there is no name, or the arguments cannot be written as JSON.
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
    """Nothing comes for some time, in addition to the script's pacing.

    Args:
        seconds: how long: a number of seconds, or text such as ``"50ms"``, ``"1.5s"``, ``"2m"``, ``"10h"``.

    Raises:
        ScriptError: it is negative, not finite or not a duration.
    """

    seconds: float

    def __init__(self, seconds: float | str) -> None:
        object.__setattr__(self, "seconds", duration(seconds, "Wait()"))


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """A frame without content, which keeps the connection open; a correct reader skips it.

    It is the provider's own ping where it has one, else a comment
    (https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate:
    """The response ends without an error, but too early: the last chunk, with the finish reason, never comes.

    Every SDK takes that for success. To the reader of the default client it is a stream that just ends.

    Attributes:
        inside_frame: whether half of one more frame comes before the end. The default client has no frames and ignores
            it.

    Raises:
        ScriptError: ``inside_frame`` is not a bool.
    """

    inside_frame: bool = False

    def __post_init__(self) -> None:
        _check_flag("Truncate", "inside_frame", self.inside_frame)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnect:
    """The connection breaks; the reader of the default client gets ``StreamDisconnected``.

    As the first step, it breaks before the status and the headers are sent, so that clients that retry will retry.

    Attributes:
        how: ``"reset"`` resets the TCP connection (RST, RFC 9293 section 3.5.2); ``"cut"`` closes it properly, but
            before the end of the HTTP body (RFC 9112 section 8).
        inside_frame: whether half of one more frame comes before the break. The default client has no frames and
            ignores it.

    Raises:
        ScriptError: a value is not legal.
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
    """The stream falls silent, with its connection open: what read timeouts are for.

    Args:
        seconds: how long: seconds, or text such as ``"2m"``; None is for ever, and then nothing can come after it.

    Raises:
        ScriptError: ``seconds`` is negative, not finite or not a duration.
    """

    seconds: float | None

    def __init__(self, seconds: float | str | None = None) -> None:
        object.__setattr__(self, "seconds", None if seconds is None else duration(seconds, "Stall()"))


@dataclass(frozen=True, slots=True)
class Malformed:
    """A frame that cannot be parsed; the reader of the default client gets ``MalformedChunkError``.

    Attributes:
        data: what the frame contains; by default JSON that breaks off.
        framed: False sends the data as it is, without a frame around it, as a proxy sends its HTML page. The default
            client has no frames and ignores it.

    Raises:
        ScriptError: a value is not legal.
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
    """The provider reports an error inside a stream that has already begun, with status 200; the stream ends there.

    The reader of the default client gets ``ProviderError``. Each wire format has its own shape for it.

    Attributes:
        message: what the provider says.
        type: the provider's name for the kind of error, such as ``"overloaded_error"``; by default the format's usual
            one.
    """

    message: str = "The server had an error while processing your request"
    type: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class HTTPError:
    """The provider answers with an HTTP error instead of a stream; only ``Wait`` and ``Gate`` may come before it.

    The reader of the default client gets ``ProviderError``. The body is in the shape of the provider's errors.

    Attributes:
        status: the status code, 400 to 599.
        retry_after: seconds for the ``Retry-After`` header (RFC 9110 section 10.2.3), or None for no such header.
        message: what the body says.

    Raises:
        ScriptError: a value is not legal.
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
#: What a schedule consists of: units of output (chunks, or frames of bytes), and the steps that are not output.
Played: TypeAlias = "T | Wait | Gate | KeepAlive | Fault"


def is_end(step: Step) -> bool:
    """Tell whether a step ends the stream, so that nothing can come after it."""
    return isinstance(step, _ENDS) or (isinstance(step, Stall) and step.seconds is None)


def cut_step(step: Step, chunking: Chunking) -> tuple[str, ...]:
    """Return the deltas of a step; a step that is not content has none."""
    if isinstance(step, ToolCall):
        return ("", *cut(step.json, chunking))
    return step.deltas(chunking) if isinstance(step, _Prose) else ()
