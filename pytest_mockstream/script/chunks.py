"""What a model streams, as frozen values.

The wall: no clock, no input or output; this module does not know that scripts or wire formats exist.

Theory of operation: every chunk of one stream shares one ``Transcript``. A chunk's ``content`` (all text up to and
including it) is worked out from there when it is asked for, so a stream of n chunks costs O(n), not O(n^2).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many tokens a request cost.

    Attributes:
        prompt_tokens: tokens that went in.
        completion_tokens: tokens that came out, reasoning included.
        reasoning_tokens: the part of ``completion_tokens`` that was reasoning.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Tokens in and out."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """One fragment of a tool call, in the shape OpenAI streams it: identity first, then pieces of the arguments.

    Attributes:
        index: which tool call of the reply, counted from 0.
        id: the call's id, on its first fragment only.
        name: the tool's name, on the first fragment only.
        arguments: the next piece of the arguments' JSON text.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedToolCall:
    """One whole tool call of a ``Completion``.

    Attributes:
        id: the call's id.
        name: the tool's name.
        arguments: the arguments as they were streamed: JSON text, not parsed, for a model may send anything.
    """

    id: str
    name: str
    arguments: str


class Transcript:
    """The text of one stream so far, shared by its chunks."""

    __slots__ = ("_deltas", "_text", "_upto")

    def __init__(self) -> None:
        self._deltas: list[str] = []
        self._text = ""
        self._upto = 0

    def append(self, delta: str) -> None:
        """Add the text of the next chunk."""
        self._deltas.append(delta)

    def until(self, count: int) -> str:
        """Return the text of the first ``count`` chunks."""
        if count < self._upto:
            return "".join(self._deltas[:count])
        # A local that is the only reference lets CPython grow the string in place: asking every chunk stays linear.
        text, self._text = self._text, ""
        for delta in self._deltas[self._upto : count]:
            text += delta
        self._text, self._upto = text, count
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamChunk:
    """One unit of model output.

    Attributes:
        index: position in the stream, from 0.
        delta: the new text.
        reasoning: the new reasoning ("thinking") text.
        refusal: the new text of a refusal.
        tool_call: a fragment of a tool call.
        role: ``"assistant"`` on the first chunk, None afterwards.
        finish_reason: why the model stopped, on the last chunk of a whole stream only.
        usage: tokens used, on the last chunk of a whole stream only.
        error: what ended the stream, on the last chunk of a stream opened with ``errors="chunk"``.
        timestamp: when the chunk arrived, in seconds since the stream was opened, on the stream's own clock.
    """

    index: int
    delta: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_call: ToolCallDelta | None = None
    role: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    error: Exception | None = None
    timestamp: float = field(default=0.0, compare=False)
    _transcript: Transcript | None = field(default=None, compare=False, repr=False)

    @property
    def content(self) -> str:
        """All text up to and including this chunk."""
        return self.delta if self._transcript is None else self._transcript.until(self.index + 1)

    @property
    def done(self) -> bool:
        """Whether this is the last chunk: the reply is whole, or ``error`` says why it is not."""
        return self.finish_reason is not None or self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole reply, as ``complete`` and ``chat`` return it.

    Attributes:
        content: the text.
        reasoning: the reasoning ("thinking") text.
        refusal: the text of a refusal.
        tool_calls: the tool calls, in order.
        finish_reason: why the model stopped; None if the script ends with ``Truncate``.
        usage: tokens used; None if the script ends with ``Truncate``.
        model: the model that was asked.
    """

    content: str
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[CompletedToolCall, ...] = ()
    finish_reason: str | None = "stop"
    usage: Usage | None = None
    model: str = ""
