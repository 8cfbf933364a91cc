"""What a model sends, as frozen values: chunks of a stream, or a whole reply.

Theory of operation: all chunks of a stream share one ``Transcript``. A chunk's ``content`` (all text up to and
including it) is computed from there when somebody asks for it, so that a stream of n chunks costs O(n), not O(n^2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

from .content import Item
from .deltas import ToolCallDelta

__all__ = ["CompletedToolCall", "Completion", "ItemChunk", "StreamChunk", "ToolCallDelta", "Transcript", "Usage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How many tokens a request used, counted as OpenAI does (https://platform.openai.com/docs/api-reference/chat/object).

    Each format says what its provider says, in the provider's way of counting: the ``input_tokens`` of Anthropic are
    those that were neither read from its cache nor written to it, the ``candidatesTokenCount`` of Gemini is without
    reasoning. What it has no field for is left out.

    Attributes:
        prompt_tokens: input tokens, all of them.
        completion_tokens: output tokens, reasoning included.
        reasoning_tokens: how many of the output tokens were reasoning.
        cached_tokens: how many of the input tokens were read from the provider's cache.
        cache_write_tokens: how many of the input tokens were written to it.
        prompt_audio_tokens: how many of the input tokens were sound.
        completion_audio_tokens: how many of the output tokens were sound.

    Raises:
        ScriptError: a number is no int >= 0, or there is more of a part than of the whole.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    prompt_audio_tokens: int = 0
    completion_audio_tokens: int = 0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            count = getattr(self, name)
            if type(count) is not int or count < 0:
                raise ScriptError(f"Usage({name}={brief(count)}): give a number of tokens, an int >= 0")
        for whole, *parts in PARTS_OF_USAGE:
            said = {name: getattr(self, name) for name in parts if getattr(self, name)}
            if (count := getattr(self, whole)) < sum(said.values()):
                listed = ", ".join(f"{name}={number}" for name, number in said.items())
                raise ScriptError(f"Usage({whole}={count}, {listed}): {whole} counts them all, give at least their sum")

    @property
    def total_tokens(self) -> int:
        """Input and output tokens together."""
        return self.prompt_tokens + self.completion_tokens


#: The counts that are parts of another, each after it.
PARTS_OF_USAGE = (
    ("prompt_tokens", "cached_tokens", "cache_write_tokens"),
    ("prompt_tokens", "prompt_audio_tokens"),
    ("completion_tokens", "reasoning_tokens", "completion_audio_tokens"),
)


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
        reasoning: the reasoning ("thinking") that it adds; on a last chunk with an ``error``, all that came before.
        refusal: the text that it adds to a refusal.
        tool_call: the fragment of a tool call that it adds, or None.
        item: what else it brings, as the step of the script that says it: a ``Frame``, ``ServerTool``, ``Citation`` or
            ``Image``; or, on its last chunk, a ``Reasoning`` that is redacted or says its signature. Else None.
        role: ``"assistant"`` on the first chunk, None on all others; a script of frames alone says it itself.
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
    def item(self) -> Item | None:
        """What else it brings: see the attributes above."""
        return None

    @property
    def unfinished(self) -> bool:
        """Whether more of the same tool call, or of the same part of an ``Interleave``, is to come."""
        return self.tool_call is not None and self.tool_call.unfinished

    @property
    def new_block(self) -> bool:
        """Whether it begins a block, although a block of its kind may be open."""
        return False

    @property
    def empty(self) -> Literal["reasoning", "refusal"] | None:
        """What it adds nothing to, where that is no text."""
        return None

    @property
    def content(self) -> str:
        """All text up to and including this chunk."""
        return self.delta if self._transcript is None else self._transcript.until(self.index + 1)

    @property
    def done(self) -> bool:
        """Whether this is the last chunk: either the reply is complete, or ``error`` says why it is not."""
        return self.finish_reason is not None or self.error is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemChunk(StreamChunk):
    """A chunk that says more than the fields of most chunks: few do, so that most need not pay for it."""

    item: Item | None = None
    unfinished: bool = field(default=False, compare=False, repr=False)
    new_block: bool = field(default=False, compare=False, repr=False)
    empty: Literal["reasoning", "refusal"] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole reply, as ``complete``, ``chat``, ``acomplete`` and ``achat`` return it.

    Attributes:
        content: the text.
        reasoning: the reasoning ("thinking").
        refusal: the text of a refusal.
        tool_calls: the tool calls, in order.
        items: what else it brings, in order: see ``StreamChunk.item``.
        finish_reason: why the model stopped, such as ``"stop"``; None if the script ends with ``Truncate``.
        usage: the tokens used; None if the script ends with ``Truncate``.
        model: the model that was asked for.
    """

    content: str
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[CompletedToolCall, ...] = ()
    items: tuple[Item, ...] = ()
    finish_reason: str | None = "stop"
    usage: Usage | None = None
    model: str = ""
