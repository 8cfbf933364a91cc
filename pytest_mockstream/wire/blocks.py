"""Puts the chunks of a reply together again: its blocks in order, the arguments of its tool calls, its usage.

It knows no provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ToolCall

Kind: TypeAlias = Literal["text", "reasoning", "refusal", "tool_call"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What neighbouring chunks of one kind say together; each tool call is a block of its own.

    Attributes:
        kind: what the block is.
        text: its text; for a tool call, the JSON text of the arguments.
        id: for a tool call, its id.
        name: for a tool call, the name of the tool.
        index: for a tool call, its number in the reply, from 0.
    """

    kind: Kind
    text: str = ""
    id: str = ""
    name: str = ""
    index: int = 0


def piece_of(chunk: StreamChunk) -> Block:
    """Return what a chunk adds to its block, as a block."""
    if (call := chunk.tool_call) is not None:
        return Block(kind="tool_call", text=call.arguments, id=call.id or "", name=call.name or "", index=call.index)
    if chunk.reasoning:
        return Block(kind="reasoning", text=chunk.reasoning)
    if chunk.refusal:
        return Block(kind="refusal", text=chunk.refusal)
    return Block(kind="text", text=chunk.delta)


def blocks_of(chunks: Iterable[StreamChunk]) -> list[Block]:
    """Return the blocks of a reply."""
    gathered: list[tuple[Block, list[str]]] = []
    for piece in map(piece_of, chunks):
        first = gathered[-1][0] if gathered else None
        if first is not None and (first.kind, first.index) == (piece.kind, piece.index):
            gathered[-1][1].append(piece.text)
        elif piece.text or piece.kind == "tool_call":
            gathered.append((piece, [piece.text]))
    return [
        Block(kind=first.kind, text="".join(texts), id=first.id, name=first.name, index=first.index)
        for first, texts in gathered
    ]


def usage_of(chunks: Sequence[StreamChunk]) -> Usage:
    """Return the tokens that a reply used; 0 where it was cut off before the chunk that says it."""
    return (chunks[-1].usage if chunks else None) or Usage()


def arguments_of(text: str) -> Any:
    """Parse the arguments of a call; empty text means that there are none."""
    return json.loads(text) if text.strip() else {}


def broken_arguments(script: Script) -> str | None:
    """Say which tool call has arguments that are not a JSON object; None if there is no such call."""
    for step in script.steps:
        if isinstance(step, ToolCall):
            try:
                arguments = arguments_of(step.json)
            except ValueError:
                return f"the arguments of {step!r} are not JSON"
            if not isinstance(arguments, dict):
                return f"the arguments of {step!r} are not a JSON object"
    return None
