"""What a model sends, as frozen values: chunks of a stream, or a whole reply.

Theory of operation: all chunks of a stream share one ``Transcript``. A chunk's ``content`` (all text up to and
including it) is computed from there when somebody asks for it, so that a stream of n chunks costs O(n), not O(n^2).
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many tokens a request used, counted as OpenAI does (https://platform.openai.com/docs/api-reference/chat/object).

    Attributes:
        prompt_tokens: input tokens.
        completion_tokens: output tokens, reasoning included.
        reasoning_tokens: how many of the output tokens were reasoning.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """One fragment of a tool call.

    As OpenAI streams them, the first fragment of a call has its id and name, and each further one a piece of its
    arguments (https://platform.openai.com/docs/guides/function-calling#streaming).

    Attributes:
        index: which tool call of the reply this belongs to, from 0.
        id: the call's id; None except on its first fragment.
        name: the tool's name; None except on the first fragment.
        arguments: the next piece of the JSON text of the arguments.
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
        arguments: the arguments as JSON text; not parsed, since a model may send JSON that is broken.
    """

    id: str
    name: str
    arguments: str


class Transcript:
    """The text of one stream so far, which all its chunks share."""

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
    """One unit of what a model sends.

    A stream that was not cut short ends with a chunk that has no content, but ``finish_reason`` and ``usage``.

    Attributes:
        index: the position in the stream, from 0.
        delta: the text that this chunk adds.
        reasoning: the reasoning ("thinking") that it adds.
        refusal: the text that it adds to a refusal.
        tool_call: the fragment of a tool call that it adds, or None.
        role: ``"assistant"`` on the first chunk, None on all others.
        finish_reason: why the model stopped, such as ``"stop"``; None except on the last chunk.
        usage: the tokens used; None except on the last chunk.
        error: what broke the stream off, on the last chunk of a stream that was opened with ``errors="chunk"``.
        timestamp: when the chunk arrived, in seconds since the stream was opened, by the stream's own clock.
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
        """Whether this is the last chunk: either the reply is complete, or ``error`` says why it is not."""
        return self.finish_reason is not None or self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole reply, as ``complete``, ``chat``, ``acomplete`` and ``achat`` return it.

    Attributes:
        content: the text.
        reasoning: the reasoning ("thinking").
        refusal: the text of a refusal.
        tool_calls: the tool calls, in order.
        finish_reason: why the model stopped, such as ``"stop"``; None if the script ends with ``Truncate``.
        usage: the tokens used; None if the script ends with ``Truncate``.
        model: the model that was asked for.
    """

    content: str
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[CompletedToolCall, ...] = ()
    finish_reason: str | None = "stop"
    usage: Usage | None = None
    model: str = ""
