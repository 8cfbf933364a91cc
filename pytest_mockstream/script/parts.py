"""What the model itself says, each step checked when it is made: text, reasoning, refusals and tool calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeAlias

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

from .deltas import Chunking, Said, ToolCallDelta, cut

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


@dataclass(frozen=True, slots=True, repr=False)
class _Prose:
    """Some kind of text: cut by the script's chunking, or given as an iterable of the exact deltas."""

    content: str | Iterable[str]
    new_block: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        kind = type(self).__name__
        if not isinstance(self.new_block, bool):
            raise ScriptError(f"{kind}(new_block={brief(self.new_block)}): give True or False")
        if isinstance(self.content, str):
            return
        try:
            deltas = tuple(self.content)
        except TypeError:
            msg = f"{kind}({brief(self.content)}): give a str, or an iterable of str for the exact deltas"
            raise ScriptError(msg) from None
        if wrong := [delta for delta in deltas if not isinstance(delta, str)]:
            msg = f"{kind}([...]): every delta must be a str, got {brief(wrong[0])}"
            raise ScriptError(msg)
        object.__setattr__(self, "content", deltas)

    def __repr__(self) -> str:
        told = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        said = ", ".join(f"{name}={value!r}" for name, (value, default) in told.items() if value != default)
        return f"{type(self).__name__}({said})"

    @property
    def text(self) -> str:
        """The whole text."""
        return self.content if isinstance(self.content, str) else "".join(self.content)

    def deltas(self, chunking: Chunking) -> tuple[str, ...]:
        """Return the text cut by ``chunking``, unless the deltas were given."""
        return cut(self.content, chunking) if isinstance(self.content, str) else tuple(self.content)

    def _chunks(self, chunking: Chunking) -> tuple[str, ...]:
        """Return the text of each chunk; where a block begins there is one, although it may be empty."""
        return self.deltas(chunking) or ("",) * self.new_block

    def _begin(self, said: list[Said]) -> None:
        """Let the first chunk begin the block."""
        if self.new_block:
            said[0]["new_block"] = True


@dataclass(frozen=True, slots=True, repr=False)
class Text(_Prose):
    """Text of the reply. A plain ``str`` as a step means the same.

    Attributes:
        content: a ``str``, which the script's ``chunking`` cuts into deltas, or an iterable of the exact deltas.
        new_block: it begins a block of its own, although there is text before it: a content block of Anthropic, Bedrock
            or Cohere, a message of OpenAI's responses or of Mistral's conversations. By default text goes on with the
            text before it, as it always does in formats without blocks.

    Raises:
        ScriptError: a value is not legal.

    Example:
        >>> Text("Hello there").deltas("word")
        ('Hello ', 'there')
        >>> Text(["Hel", "lo"]).deltas("word")
        ('Hel', 'lo')
    """

    def says(self, chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        if not self.new_block:
            return self.deltas(chunking)
        said = [Said(delta=delta) for delta in self._chunks(chunking)]
        self._begin(said)
        return tuple(said)


@dataclass(frozen=True, slots=True, repr=False)
class Reasoning(_Prose):
    """Reasoning ("thinking") that a model streams besides its text; takes and raises what ``Text`` does.

    Providers sign it, or encrypt it, and want it back unchanged in the next request: Anthropic's ``signature``
    (https://docs.anthropic.com/en/docs/build-with-claude/extended-thinking), Gemini's ``thoughtSignature``
    (https://ai.google.dev/gemini-api/docs/thought-signatures), the ``encrypted_content`` of OpenAI's responses
    (https://platform.openai.com/docs/guides/reasoning). One that says its signature, or is redacted, ends its block:
    the next ``Reasoning`` begins another. OpenAI's and Cohere's chats and Ollama have none of this.

    Attributes:
        content: a ``str``, which the script's ``chunking`` cuts into deltas, or an iterable of the exact deltas.
        new_block: as ``Text`` has it, for reasoning behind reasoning.
        signature: the signature; None for one that is made up where the provider always has one; False for none.
        redacted: the provider shows nothing of it but ``content``, which is unreadable: ``redacted_thinking`` of
            Anthropic, ``redactedContent`` of Converse, an item without a summary of OpenAI's responses. It is one
            chunk, without a text.

    Raises:
        ScriptError: a value is not legal.
    """

    signature: str | Literal[False] | None = field(default=None, kw_only=True)
    redacted: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _Prose.__post_init__(self)
        if not (
            self.signature is None or self.signature is False or (isinstance(self.signature, str) and self.signature)
        ):
            msg = f"Reasoning(signature={brief(self.signature)}): give a non-empty str, None for any, False for none"
            raise ScriptError(msg)
        if not isinstance(self.redacted, bool):
            raise ScriptError(f"Reasoning(redacted={brief(self.redacted)}): give True or False")
        if self.redacted and self.signature is not None:
            raise ScriptError("Reasoning(redacted=True) has no signature: what is redacted is its content")
        if self.redacted and not self.text:
            raise ScriptError("Reasoning('', redacted=True): give what the provider sends instead of the reasoning")

    def says(self, chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        if self.redacted:
            return ({"item": self},)
        said = [Said(reasoning=delta) if delta else Said(empty="reasoning") for delta in self._chunks(chunking)]
        self._begin(said)
        if self.signature is not None:
            said = said or [Said(reasoning="")]
            said[-1]["item"] = self
        return tuple(said)


@dataclass(frozen=True, slots=True, repr=False)
class Refusal(_Prose):
    """A refusal to answer; takes and raises what ``Text`` does.

    OpenAI's formats have a field for it (https://platform.openai.com/docs/guides/structured-outputs#refusals); in the
    others it is text, and Anthropic's stop reason says so.
    """

    def says(self, chunking: Chunking, _calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        said = [Said(refusal=delta) if delta else Said(empty="refusal") for delta in self._chunks(chunking)]
        self._begin(said)
        return tuple(said)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool. Its arguments are streamed as JSON text, in fragments.

    Formats that send a call in one piece (Gemini, Ollama) send it when its last fragment would have come.

    Attributes:
        name: the tool's name.
        arguments: a mapping, or the JSON text itself, which need not be valid: models send broken JSON, too.
        id: the call's id; by default ``"call_1"``, ``"call_2"``, … in the order of the script. ``""`` is none, which
            OpenAI's chats, Gemini and Ollama can say.
        fragments: how its arguments are cut: by default as the script's ``chunking`` says, after a first fragment that
            has the name and no arguments. ``"word"``, ``"char"`` and a number of characters cut in the same way;
            ``"whole"`` is one fragment with name and arguments, as some servers send it; a list has the arguments of
            each fragment, of which the first has the name, and ``arguments`` may be left out; None in it is a ``null``
            on the wire of OpenAI's chats.
        index: the index that OpenAI's chats tell calls apart by; by default their order in the script. Two calls may
            have the same one, as some servers send them.

    Raises:
        ScriptError: there is no name, the arguments cannot be written as JSON, the fragments joined are not the
            arguments, or a value is not legal.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None
    fragments: Literal["whole", "word", "char"] | int | Sequence[str | None] | None = field(default=None, kw_only=True)
    index: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            msg = f"ToolCall(name={brief(self.name)}): give the tool's name, a non-empty str"
            raise ScriptError(msg)
        if self.id is not None and not isinstance(self.id, str):
            msg = f"ToolCall(id={brief(self.id)}): give a str, '' for none, or None"
            raise ScriptError(msg)
        if not isinstance(self.arguments, str | Mapping):
            msg = f"ToolCall(arguments={brief(self.arguments)}): give a mapping, or JSON text as a str"
            raise ScriptError(msg)
        try:
            _ = self.json
        except (TypeError, ValueError, RecursionError) as error:
            msg = f"ToolCall(arguments={brief(self.arguments)}) cannot be written as JSON: {error}"
            raise ScriptError(msg) from None
        if self.index is not None and (type(self.index) is not int or self.index < 0):
            raise ScriptError(f"ToolCall(index={brief(self.index)}): give an int >= 0, or None")
        self._check_fragments()

    def _check_fragments(self) -> None:
        given = self.fragments
        if isinstance(given, list | tuple):
            object.__setattr__(self, "fragments", tuple(given))
            if not self.arguments and all(one is None or isinstance(one, str) for one in given):
                object.__setattr__(self, "arguments", "".join(one or "" for one in given))
            if not given or not all(one is None or isinstance(one, str) for one in given):
                raise ScriptError(f"ToolCall(fragments={brief(given)}): give at least one str, or None for a null")
            if "".join(one or "" for one in given) != self.json:
                msg = f"ToolCall(fragments={brief(given)}): joined they are not the arguments, {brief(self.json)}"
                raise ScriptError(msg)
        elif given not in (None, "whole", "word", "char") and not (type(given) is int and given > 0):
            msg = f"ToolCall(fragments={brief(given)}): give 'whole', 'word', 'char', an int > 0 or a list of fragments"
            raise ScriptError(msg)

    @property
    def json(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(dict(self.arguments), ensure_ascii=False, allow_nan=False)

    def says(self, chunking: Chunking, calls: Iterator[int]) -> tuple[str | Said, ...]:
        """Return what its chunks add to the reply."""
        number = next(calls)
        index = number if self.index is None else self.index
        identity = {"id": f"call_{number + 1}" if self.id is None else self.id or None, "name": self.name}
        pieces = self._pieces(chunking)
        said = [
            Said(
                tool_call=ToolCallDelta(
                    index=index,
                    arguments=piece or "",
                    null=piece is None,
                    unfinished=place < len(pieces) - 1,
                    **({} if place else identity),
                )
            )
            for place, piece in enumerate(pieces)
        ]
        return tuple(said)

    def _pieces(self, chunking: Chunking) -> Sequence[str | None]:
        if self.fragments == "whole":
            return (self.json,)
        if isinstance(self.fragments, tuple):
            return self.fragments
        return ("", *cut(self.json, self.fragments or chunking))  # type: ignore[arg-type] # it is no list: see above


Part: TypeAlias = Text | Reasoning | Refusal | ToolCall

PARTS = (Text, Reasoning, Refusal, ToolCall)
