"""Reads what Anthropic says, also by way of Vertex AI and Bedrock: the twin of ``formats.anthropic``.

Events: https://docs.anthropic.com/en/docs/build-with-claude/streaming; blocks: https://docs.anthropic.com/en/api/messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import Citation, ErrorEvent, KeepAlive, Reasoning, ServerTool
from pytest_mockstream.wire.bedrock import error_type, read_error, read_event
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Kind, Piece, counted
from pytest_mockstream.wire.mcp import LISTING, odd_mcp_tool, said_of
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: What a delta adds to, and the field that has it.
_DELTAS = {"text_delta": ("text", "text"), "thinking_delta": ("reasoning", "thinking")}
#: What a block of each type is that is streamed as text.
_PROSE: dict[str, Kind] = {"text": "text", "thinking": "reasoning"}
#: The tools that Anthropic runs and a script can say; there may be others.
_SERVER_TOOLS = {
    "web_search",
    "web_fetch",
    "code_execution",
    "bash_code_execution",
    "text_editor_code_execution",
    "tool_search_tool_regex",
    "tool_search_tool_bm25",
}
#: What the result of a tool that runs code has besides the text that the code prints, if there is no more to say.
_PRINTED = {"stderr": "", "return_code": 0, "content": []}


@dataclass(slots=True)
class _Block:
    """A block that has begun.

    Attributes:
        number: of the block; some servers give several the same index.
        start: the block as it began.
        said: whether any of it was heard.
        signed: whether its signature was.
        fragments: of the JSON text of the input of a tool that the provider runs.
    """

    number: int
    start: Mapping[str, Any]
    said: bool = False
    signed: bool = False
    fragments: list[str] = field(default_factory=list)


class _Decoder:
    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}  # those that are open, by their index
        self._count = 0
        self._runs: dict[str, ServerTool] = {}  # what the provider runs and has no result yet, by the id of the call
        self._counts: dict[str, Any] = {}
        self._is_finished = False

    def event(self, event: Event) -> Iterable[Heard]:
        if event.kind != "event":
            return (read_event(event),)
        said = json.loads(event.data)
        match said.get("type", "error" if "error" in said else event.name):
            case "message_start":
                return self._usage(said["message"].get("usage"))
            case "content_block_start":
                return self.begin(said["index"], said["content_block"])
            case "content_block_delta":
                return self._delta(said["index"], said["delta"])
            case "content_block_stop":
                return self.end(said["index"])
            case "message_delta":
                return self.finish(said["delta"].get("stop_reason"), said.get("usage"))
            case "message_stop" if not self._is_finished:
                return self.finish("end_turn", None)
            case "ping":
                return (KeepAlive(),)
            case "error":
                message, kind, _ = _error(said)
                return (ErrorEvent(message, type=kind),)
        return ()

    def begin(self, index: int, start: Mapping[str, Any]) -> Iterator[Heard]:
        """Hear the begin of a block, which in a stream says little, and else nearly all."""
        self._blocks[index] = block = _Block(self._count, start)
        self._count += 1
        number, kind = block.number, start["type"]
        if kind == "redacted_thinking" and start.get("data"):
            yield Piece(kind="reasoning", step=Reasoning(start["data"], redacted=True), block=number)
        elif kind.endswith("_tool_result") and start["tool_use_id"] in self._runs:
            tool = self._runs.pop(start["tool_use_id"])
            given = _result(tool.name, start["content"]) if tool.server is None else _given(start)
            yield from _ran(tool, given, number)
        elif kind == "mcp_tool_listing":
            yield from _ran(ServerTool(LISTING, server=start["mcp_server_name"]), start.get("tools") or None, number)
        for said, name in _DELTAS.values():
            if start.get(name):
                block.said = True
                yield Piece(kind=said, text=start[name], block=number)  # type: ignore[arg-type] # text or reasoning
        for source in start.get("citations") or ():
            yield from _citation(source, block)

    def _delta(self, index: int, delta: Mapping[str, Any]) -> Iterator[Heard]:
        block = self._blocks[index]
        kind = delta["type"]
        is_first, block.said = not block.said, True
        if kind in _DELTAS:
            said, name = _DELTAS[kind]
            yield Piece(kind=said, text=delta[name], block=block.number)  # type: ignore[arg-type] # text or reasoning
        elif kind == "signature_delta" and not block.signed:
            yield from _signature(block, delta["signature"])
        elif kind == "citations_delta":
            yield from _citation(delta["citation"], block)
        elif kind == "input_json_delta":
            if block.start["type"] == "tool_use":
                yield _call(block, delta["partial_json"], is_first=is_first)
            else:
                block.fragments.append(delta["partial_json"])

    def end(self, index: int) -> Iterator[Heard]:
        """Hear the end of a block."""
        block = self._blocks.pop(index, None)
        if block is None:
            return
        start = block.start
        kind = start["type"]
        if kind == "thinking" and not block.signed:
            yield from _signature(block, start.get("signature"))
        elif kind == "tool_use" and not block.said:
            yield _call(block, json.dumps(start.get("input") or {}, ensure_ascii=False), is_first=True)
        elif kind == "text" and not block.said:
            yield Piece(kind="text", block=block.number)
        elif kind == "mcp_tool_use" or (kind == "server_tool_use" and start["name"] in _SERVER_TOOLS):
            text = "".join(block.fragments)
            given = json.loads(text) if text.strip() else start.get("input") or {}
            server = start["server_name"] if kind == "mcp_tool_use" else None
            self._runs[start["id"]] = ServerTool(start["name"], given, server=server)

    def finish(self, reason: str | None, usage: Mapping[str, Any] | None) -> Iterator[Heard]:
        """Hear the end of a reply; a tool that still runs has no result in it."""
        yield from self._usage(usage)
        if reason:
            self._is_finished = True
            for tool in self._runs.values():
                yield Piece(kind="server_tool", step=tool)
            self._runs.clear()
            yield Finish(reason)

    def rest(self) -> Iterator[Heard]:
        """Hear the blocks of which only the start came, and the tools that have no result yet."""
        for block in self._blocks.values():
            if block.said:
                continue
            if block.start["type"] == "tool_use":
                yield _call(block, "", is_first=True)
            elif (kind := _PROSE.get(block.start["type"])) is not None:
                yield Piece(kind=kind, block=block.number)
        for tool in self._runs.values():
            yield Piece(kind="server_tool", step=tool)

    def _usage(self, counts: Mapping[str, Any] | None) -> Iterator[Usage]:
        """Hear counts: each stands until another is told."""
        if counts:
            self._counts |= {name: count for name, count in counts.items() if count is not None}
            yield _usage(self._counts)


def _call(block: _Block, text: str, *, is_first: bool) -> Piece:
    begun = {"name": block.start["name"], "id": block.start["id"]} if is_first else {}
    return Piece(kind="tool_call", call=block.number, text=text, block=block.number, **begun)


def _signature(block: _Block, signature: str | None) -> Iterator[Piece]:
    block.signed = True
    yield Piece(kind="reasoning", step=Reasoning("", signature=signature or False), block=block.number)


def _citation(source: Mapping[str, Any], block: _Block) -> Iterator[Piece]:
    """Say a source that has an address; places in a document of the request have none."""
    if url := source.get("url") or source.get("source"):
        step = Citation(url, source.get("title") or "", source.get("cited_text") or "")
        yield Piece(kind="citation", step=step, block=block.number)


def _ran(tool: ServerTool, result: Any, number: int) -> Iterator[Piece]:
    """Say a tool that has run, unless it is one of an MCP server that gives what no script says."""
    ran = replace(tool, result=result)
    if ran.server is None or odd_mcp_tool(ran, in_blocks=True) is None:
        yield Piece(kind="server_tool", step=ran, block=number)


def _given(block: Mapping[str, Any]) -> Any:
    """Return what the tool of an MCP server gives as a script says it."""
    said = said_of(block["content"])
    if block.get("is_error"):
        return {"error": said}
    return None if said == [] else said


def _result(name: str, content: Any) -> Any:
    """Return the result of a tool as a script says it: found pages, text that code prints, or as it came."""
    if name == "web_search" and isinstance(content, list):
        return [{key: value for key, value in one.items() if key != "type"} for one in content]
    said = {key: value for key, value in content.items() if key not in {"type", "stdout"}}
    is_code = name in {"code_execution", "bash_code_execution"} and content["type"] == f"{name}_result"
    return content["stdout"] if is_code and said == _PRINTED else content


def _usage(counts: Mapping[str, Any]) -> Usage:
    """Return the tokens; here those of the cache are beside the input, not in it."""
    cached, written = counts.get("cache_read_input_tokens") or 0, counts.get("cache_creation_input_tokens") or 0
    return counted(
        prompt_tokens=(counts.get("input_tokens") or 0) + cached + written,
        cached_tokens=cached,
        cache_write_tokens=written,
        completion_tokens=counts.get("output_tokens"),
        reasoning_tokens=(counts.get("output_tokens_details") or {}).get("thinking_tokens"),
    )


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    if body.get("type") == "error":
        message, kind, _ = _error(body)
        yield ErrorEvent(message, type=kind)
        return
    decoder = _Decoder()
    for index, block in enumerate(body["content"]):
        yield from decoder.begin(index, block)
        yield from decoder.end(index)
    yield from decoder.finish(body.get("stop_reason") or "end_turn", body.get("usage"))


def _error(body: Any) -> tuple[str, str | None, str | None]:
    """Return message and type of an error of Anthropic's, or of Google's in front of it."""
    error = (body[0] if isinstance(body, list) else body)["error"]
    return error["message"], error.get("status") or error.get("type") or None, None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error, rest=_Decoder.rest)
BY_BEDROCK = DECODING._replace(error=read_error, error_type=error_type)
