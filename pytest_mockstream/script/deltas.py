"""What one chunk adds to a reply, before it has its place in a stream; and how text is cut into such pieces."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypedDict

from pytest_mockstream._base.errors import ScriptError
from pytest_mockstream._base.redaction import brief

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

Chunking: TypeAlias = Literal["word", "char"] | int | Callable[[str], Iterable[str]]

_WORD = re.compile(r"\s*\S+\s*|\s+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """One fragment of a tool call.

    As OpenAI streams them, the first fragment of a call has its id and name, and each further one a piece of its
    arguments (https://platform.openai.com/docs/guides/function-calling#streaming).

    Attributes:
        index: which tool call of the reply this belongs to, from 0.
        id: the call's id; None except on its first fragment, and for a call that has none.
        name: the tool's name; None except on the first fragment.
        arguments: the next piece of the JSON text of the arguments.
        null: whether a provider's frame says ``null`` here, where ``arguments`` is empty.
        unfinished: whether further fragments of the same call are to come.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""
    null: bool = False
    unfinished: bool = field(default=False, compare=False, repr=False)


class Said(TypedDict, total=False):
    """The fields of the ``StreamChunk`` that is to come."""

    delta: str
    reasoning: str
    refusal: str
    tool_call: ToolCallDelta
    item: Any
    unfinished: bool
    new_block: bool
    empty: Literal["reasoning", "refusal"]


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
    msg = f"chunking={brief(chunking)} is not known: give 'word', 'char', an int > 0 or a callable str -> list[str]"
    raise ScriptError(msg)


def _cut_by(chunking: Callable[[str], Iterable[str]], text: str) -> tuple[str, ...]:
    deltas = tuple(chunking(text))
    if not all(isinstance(delta, str) for delta in deltas) or "".join(deltas) != text:
        msg = f"chunking={chunking!r} cut {brief(text)} into {brief(list(deltas))}, but joined they are not the text"
        raise ScriptError(msg)
    return deltas
