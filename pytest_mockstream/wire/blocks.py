"""Puts the chunks of a reply together again: its blocks in order, the arguments of its tool calls, its usage.

It knows no provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Citation, Frame, Image, Reasoning, ServerTool, ToolCall

from .decoding import Kind
from .format import ParsedRequest

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: What a script that says none is signed with.
SIGNATURE = "bW9ja3N0cmVhbS1zaWduYXR1cmU="


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What neighbouring chunks of one kind say together; each tool call is a block of its own.

    Attributes:
        kind: what the block is. A citation belongs to the block of text that it follows.
        text: its text; for a tool call, the JSON text of the arguments.
        id: for a tool call, its id; empty for one that has none.
        name: for a tool call, the name of the tool; for a piece of one, empty except on the first.
        index: for a tool call, its number in the reply, from 0.
        null: for a piece of a tool call, whether it has ``null`` for its arguments.
        unfinished: for a piece, whether more of its block comes after pieces of others.
        new_block: for a piece, whether the script says that it begins a block.
        step: the step of the script that says more than the text: a ``ServerTool``, ``Citation`` or ``Image``, or a
            ``Reasoning`` that is redacted or says its signature.
        citations: for a block of text, the sources of it.
    """

    kind: Kind
    text: str = ""
    id: str = ""
    name: str = ""
    index: int = 0
    null: bool = False
    unfinished: bool = False
    new_block: bool = False
    step: Any = None
    citations: tuple[Citation, ...] = ()

    @property
    def redacted(self) -> bool:
        """Whether it is reasoning that the provider does not show."""
        return isinstance(self.step, Reasoning) and self.step.redacted

    @property
    def begins(self) -> bool:
        """Whether a piece begins a block, whatever is open."""
        return self.new_block or bool(self.name) or self.kind in _ALONE or self.redacted

    @property
    def ends(self) -> bool:
        """Whether a piece is the last of its block."""
        return self.kind in _ALONE or isinstance(self.step, Reasoning)


_NONE: frozenset[Kind] = frozenset()
_ALONE = ("server_tool", "image")
_KINDS: tuple[tuple[type, Kind], ...] = (
    (Reasoning, "reasoning"),
    (Citation, "citation"),
    (ServerTool, "server_tool"),
    (Image, "image"),
)


def pieces_of(chunk: StreamChunk) -> tuple[Block, ...]:
    """Return what a chunk adds to the blocks of the reply, as blocks, in the order in which a reply has them.

    A chunk that adds nothing adds an empty text, except where a frame of the user's says it all.
    """
    item, more, begins = chunk.item, chunk.unfinished, chunk.new_block
    if isinstance(item, Frame):
        return ()
    pieces: list[Block] = []
    if item is not None:
        kind = next(kind for step, kind in _KINDS if isinstance(item, step))
        pieces.append(Block(kind=kind, text=chunk.reasoning, step=item, unfinished=more, new_block=begins))
    elif chunk.reasoning or chunk.empty == "reasoning":
        pieces.append(Block(kind="reasoning", text=chunk.reasoning, unfinished=more, new_block=begins))
    if chunk.refusal or chunk.empty == "refusal":
        pieces.append(Block(kind="refusal", text=chunk.refusal, unfinished=more, new_block=begins))
    call = chunk.tool_call
    if chunk.delta or (not pieces and call is None):
        pieces.append(Block(kind="text", text=chunk.delta, unfinished=more, new_block=begins))
    if call is not None:
        said = {"text": call.arguments, "id": call.id or "", "name": call.name or "", "null": call.null}
        pieces.append(Block(kind="tool_call", index=call.index, unfinished=more, **said))  # type: ignore[arg-type]
    return tuple(pieces)


class OpenBlocks:
    """Tells to which block of the reply each piece belongs, and which blocks are over; blocks are numbered from 0.

    A piece goes on with the open block of its family, unless it begins one. All other open blocks are over then, but
    for those of which the last piece of some kind said that more is to come.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], tuple[int, frozenset[Kind]]] = {}  # number, and the kinds that are to come
        self._count = 0

    def place(self, piece: Block, family: str) -> tuple[int, bool, list[int]]:
        """Return the number of a piece's block, whether it is new, and the numbers of the blocks that are over.

        Args:
            piece: what a chunk adds.
            family: pieces of one family make one block.
        """
        key = (family, piece.index)
        if len(self._open) == 1 and key in self._open and not piece.begins and not piece.ends:
            only, more = self._open[key]  # most pieces go on with the only block that is open
            if more or piece.unfinished:
                self._open[key] = (only, _to_come(more, piece))
            return only, False, []
        number, kinds = (None, _NONE) if piece.begins else self._open.get(key, (None, _NONE))
        over = [other for name, (other, more) in self._open.items() if other != number and (name == key or not more)]
        self._open = {name: state for name, state in self._open.items() if state[0] not in over}
        is_new = number is None
        if number is None:
            number, self._count = self._count, self._count + 1
        if piece.ends:
            self._open.pop(key, None)
        else:
            self._open[key] = (number, _to_come(kinds, piece))
        return number, is_new, over

    def end(self, numbers: Collection[int] | None = None) -> list[int]:
        """Return the numbers of those blocks that are over now: all that are open, or some of them."""
        over = [number for number, _ in self._open.values() if numbers is None or number in numbers]
        self._open = {key: state for key, state in self._open.items() if state[0] not in over}
        return over


def _to_come(kinds: frozenset[Kind], piece: Block) -> frozenset[Kind]:
    """Return the kinds of which a block has more to come, of those that it had before one more piece."""
    return kinds | {piece.kind} if piece.unfinished else kinds - {piece.kind}


def blocks_of(
    chunks: Iterable[StreamChunk],
    *,
    refusals_are_text: bool = False,
    has_signatures: bool = True,
    has_borders: bool = True,
) -> list[Block]:
    """Return the blocks of a reply that is not streamed, one behind the other in the order in which they begin.

    Args:
        chunks: what the model sends.
        refusals_are_text: whether a refusal is text, and one block with the text around it.
        has_signatures: whether reasoning can be signed, and ends with its signature.
        has_borders: whether a block can stand beside another of its kind.
    """
    pieces = (piece for chunk in chunks for piece in pieces_of(chunk))
    if not has_borders:
        pieces = (replace(piece, new_block=False) if piece.new_block else piece for piece in pieces)
    says = (piece for piece in pieces if piece.new_block or _says_something(piece))
    if refusals_are_text:
        says = (replace(piece, kind="text") if piece.kind == "refusal" else piece for piece in says)
    if not has_signatures:
        says = (replace(piece, step=None) if piece.kind == "reasoning" else piece for piece in says)
    return list(filter(_says_something, map(_joined, _gathered(_in_turn(says)))))


def _says_something(block: Block) -> bool:
    return bool(block.text or block.citations or block.step is not None or block.kind == "tool_call")


def pieces_in_turn(chunks: Iterable[StreamChunk]) -> Iterator[Block]:
    """Return the pieces of the blocks of a reply that is not streamed: all of the first one, and so on."""
    return _in_turn(piece for chunk in chunks for piece in pieces_of(chunk))


def _in_turn(pieces: Iterable[Block]) -> Iterator[Block]:
    """Return pieces block by block: what came by turns is one behind the other, and prose behind prose one block."""
    return (replace(piece, unfinished=False) for block in _gathered(pieces) for piece in block)


def _gathered(pieces: Iterable[Block]) -> list[list[Block]]:
    """Return the pieces of each block."""
    places = OpenBlocks()
    gathered: list[list[Block]] = []
    for piece in pieces:
        number, is_new, _ = places.place(piece, "text" if piece.kind == "citation" else piece.kind)
        if is_new:
            gathered.append([])
        gathered[number].append(piece)
    return gathered


def _joined(pieces: list[Block]) -> Block:
    first, last = pieces[0], pieces[-1]
    return replace(
        first,
        kind="text" if first.kind == "citation" else first.kind,
        text="".join(piece.text for piece in pieces),
        null=False,
        unfinished=False,
        step=None if last.kind == "citation" else last.step,
        citations=tuple(piece.step for piece in pieces if piece.kind == "citation"),
    )


def signature_of(block: Block) -> str:
    """Return the signature of a block of reasoning, made up if the script says none; empty if it is to have none."""
    if block.redacted:
        return ""
    if not isinstance(block.step, Reasoning) or block.step.signature is None:
        return SIGNATURE
    return block.step.signature or ""


def search_results(result: Any) -> list[Mapping[str, Any]]:
    """Return the results of a search; none where the script says another thing, or none."""
    return [one for one in result if isinstance(one, Mapping)] if isinstance(result, list | tuple) else []


def odd_calls(script: Script, *, needs_ids: bool) -> str | None:
    """Say which tool call has what OpenAI's chats alone can say; None if there is no such call."""
    for step in script.contents:
        if isinstance(step, ToolCall):
            if step.index is not None:
                return f"its calls have no index of their own, as {brief(step)} has"
            if isinstance(step.fragments, tuple) and None in step.fragments:
                return f"a fragment of a call is text here, and never null as in {brief(step)}"
            if needs_ids and step.id == "":
                return f"each of its calls has an id, and {brief(step)} has none"
    return None


def sealed_reasoning(script: Script) -> str | None:
    """Say which reasoning is signed or redacted; None if there is none."""
    for step in script.contents:
        if isinstance(step, Reasoning) and (step.redacted or step.signature):
            return f"its reasoning is text without a signature, and never redacted, unlike {brief(step)}"
    return None


def odd_tool(
    script: Script,
    known: Collection[str],
    *,
    searches: Collection[str],
    code: Collection[str],
    own_shape: bool,
    odd_mcp: Callable[[ServerTool], str | None] | None = None,
) -> str | None:
    """Say which tool of the provider is not known, or gives what it never gives; None if there is none.

    Args:
        script: what is to be said.
        known: the tools.
        searches: those of them that give a list of mappings.
        code: those that give text.
        own_shape: whether a result may be in the provider's own shape.
        odd_mcp: says what is wrong with the tool of an MCP server; None if the provider calls none of them.
    """
    listed = ", ".join(map(repr, known))
    for step in script.contents:
        if not isinstance(step, ServerTool):
            continue
        if step.server is not None:
            if odd_mcp is None:
                return f"it calls no tools of MCP servers, as {brief(step)} is: give {listed}, without server="
            if odd := odd_mcp(step):
                return odd
            continue
        if step.name not in known:
            also = "" if odd_mcp is None else ", or the tool of an MCP server, with server="
            return f"it has no {brief(step)}: give {listed}{also}"
        legal = ["the provider's own shape, a mapping"] if own_shape else []
        is_legal = step.result is None or (own_shape and isinstance(step.result, Mapping))
        if step.name in searches:
            legal.append("a list of results, each a mapping")
            is_legal |= isinstance(step.result, list | tuple) and all(isinstance(one, Mapping) for one in step.result)
        elif step.name in code:
            legal.append("the text that the code prints")
            is_legal |= isinstance(step.result, str)
        if not is_legal:
            return f"the result in {brief(step)} is not what the tool gives: give {' or '.join(legal)}"
    return None


def usage_of(chunks: Sequence[StreamChunk]) -> Usage:
    """Return the tokens that a reply used; 0 where it was cut off before the chunk that says it."""
    return (chunks[-1].usage if chunks else None) or Usage()


def arguments_of(text: str) -> Any:
    """Parse the arguments of a call; empty text means that there are none."""
    return json.loads(text) if text.strip() else {}


def broken_arguments(script: Script) -> str | None:
    """Say which tool call has arguments that are not a JSON object; None if there is no such call."""
    for step in script.contents:
        if isinstance(step, ToolCall):
            try:
                arguments = arguments_of(step.json)
            except (ValueError, RecursionError):
                return f"the arguments of {brief(step)} are not JSON"
            if not isinstance(arguments, dict):
                return f"the arguments of {brief(step)} are not a JSON object"
    return None


def broken_whole_arguments(request: ParsedRequest, script: Script) -> str | None:
    """Say which tool call has arguments that are not a JSON object where none but a stream can have them."""
    broken = None if request.framing else broken_arguments(script)
    return broken and f"{broken}; only its stream can send that"
