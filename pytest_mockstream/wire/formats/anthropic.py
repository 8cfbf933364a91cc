"""Anthropic Messages: ``POST {base}/v1/messages``, and the same by way of Vertex AI and Bedrock.

API: https://docs.anthropic.com/en/api/messages; streaming:
https://docs.anthropic.com/en/docs/build-with-claude/streaming; errors: https://docs.anthropic.com/en/api/errors. Every
frame needs its ``event:`` line: the SDK drops frames without one. By way of Bedrock
(https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html) an event is the
payload of a chunk in AWS's event stream, and errors are Bedrock's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Citation, ErrorEvent, Frame, Interleave, ServerTool
from pytest_mockstream.wire.bedrock import BEDROCK_STATUS, bedrock_error, bedrock_event, invocation_metrics
from pytest_mockstream.wire.blocks import (
    SIGNATURE,
    Block,
    OpenBlocks,
    arguments_of,
    blocks_of,
    broken_whole_arguments,
    odd_calls,
    odd_tool,
    pieces_of,
    search_results,
    signature_of,
    usage_of,
)
from pytest_mockstream.wire.decoders.anthropic import BY_BEDROCK, DECODING
from pytest_mockstream.wire.decoding import Kind
from pytest_mockstream.wire.errors import ANTHROPIC_STATUS, anthropic_error
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, named_event, words
from pytest_mockstream.wire.mcp import LISTING, blocks_with, error_of, odd_mcp_tool, tools_of
from pytest_mockstream.wire.reading import call_of, content_of, flag, objects, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_DELTAS: dict[Kind, tuple[str, str]] = {
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "tool_call": ("input_json_delta", "partial_json"),
}
_PROSE = ("text", "refusal", "citation")  # all are blocks of text here, or in one
_CODE = ("code_execution", "bash_code_execution")
#: The tools that Anthropic itself runs, and the type of their results.
_SERVER_TOOLS = {
    "web_search": "web_search_tool_result",
    "web_fetch": "web_fetch_tool_result",
    "code_execution": "code_execution_tool_result",
    "bash_code_execution": "bash_code_execution_tool_result",
    "text_editor_code_execution": "text_editor_code_execution_tool_result",
    "tool_search_tool_regex": "tool_search_tool_result",
    "tool_search_tool_bm25": "tool_search_tool_result",
}
_BETWEEN_BLOCKS = ("content_block_start", "message_delta", "message_stop")
_TAKEN = ("model", "messages", "system", "tools", "stream")


def _parse(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    system = content_of(body.get("system") or "")
    messages: list[Mapping[str, Any]] = [{"role": "system", "content": system}] if system else []
    for message in objects(body, "messages", required=True):
        messages.extend(_normalised(message))
    called = groups.get("call")
    streaming = flag(body, "stream", default=called == "streamRawPredict")
    if streaming and called == "rawPredict":
        raise BadRequestError("':rawPredict' does not stream: ask ':streamRawPredict', or send no 'stream'")
    return ParsedRequest(
        model=groups.get("model") or text_field(body, "model"),
        messages=messages,
        tools=objects(body, "tools"),
        params=rest(body, *_TAKEN),
        framing="sse" if streaming else None,
    )


def _parse_for_bedrock(body: Json, groups: Mapping[str, str], query: Mapping[str, str]) -> ParsedRequest:
    for name in ("model", "stream"):
        if name in body:
            raise BadRequestError(f"there is no field {name!r}: the path says it")
    text_field(body, "anthropic_version")
    parsed = _parse(body, {"model": groups["model"]}, query)
    return replace(parsed, framing=None if groups["call"] == "invoke" else "aws-chunks")


def _normalised(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Split a message: results of tools come inside the user's messages, and become messages of their own."""
    content = message.get("content", "")
    if not isinstance(content, list):
        yield dict(message)
        return
    parts: dict[str, list[Any]] = {"tool_use": [], "tool_result": [], "": []}
    for part in content:
        kind = part.get("type", "") if isinstance(part, dict) else ""
        parts[kind if kind in parts else ""].append(part)
    for part in parts["tool_result"]:
        more = rest(part, "type", "tool_use_id", "content")
        result = {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": content_of(part.get("content"))}
        yield result | more
    said = {"role": message.get("role", "user"), "content": parts[""], **rest(message, "role", "content")}
    if calls := parts["tool_use"]:
        yield said | {"content": content_of(parts[""]), "tool_calls": list(map(_call, calls))}
    elif parts[""] or not parts["tool_result"]:
        yield said


def _call(part: Mapping[str, Any]) -> Json:
    return call_of(part.get("id"), part.get("name"), part.get("input"), rest(part, "type", "id", "name", "input"))


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._blocks = OpenBlocks()
        self._open: dict[int, _OpenBlock] = {}  # by the number of the block
        self._last: _OpenBlock | None = None  # the one that was spoken of last, as long as it is open
        self._count = 0
        self._tools = 0
        self._refused = False

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            usage = _usage(self._reply.usage or Usage(prompt_tokens=self._reply.prompt_tokens)) | {"output_tokens": 0}
            usage.pop("output_tokens_details", None)
            message = _message(self._reply, [], None) | {"usage": usage}
            yield _event("message_start", message=message)
        if chunk.finish_reason is not None and not isinstance(chunk.item, Frame):
            yield from self._finish(chunk.usage or Usage())
            return
        for piece in pieces_of(chunk):
            yield from self._piece(piece)

    def _piece(self, piece: Block) -> Iterator[Event]:
        self._refused = self._refused or piece.kind == "refusal"
        number, is_new, over = self._blocks.place(piece, "text" if piece.kind in _PROSE else piece.kind)
        yield from self._close(over)
        if piece.kind == "server_tool":
            yield from self._run(piece.step)
            return
        if is_new:
            self._open[number] = _OpenBlock(self._count, piece)
            self._count += 1
            yield _event("content_block_start", index=self._open[number].index, content_block=_empty_block(piece))
        self._last = block = self._open[number]
        block.piece = piece
        if piece.kind == "citation":
            cited = {"type": "citations_delta", "citation": _citation(piece.step)}
            yield _event("content_block_delta", index=block.index, delta=cited)
        elif not piece.redacted and (piece.text or not piece.ends or piece.step.content):
            yield self._delta(piece.kind, piece.text)
        if piece.ends:
            yield from self._close([number])

    def _run(self, tool: ServerTool) -> Iterator[Event]:
        self._tools += 1
        for block in _server_tool(tool, self._tools):
            begun = block | ({"input": {}} if "input" in block else {})
            yield _event("content_block_start", index=self._count, content_block=begun)
            if "input" in block:
                said = {"type": "input_json_delta", "partial_json": json_text(block["input"])}
                yield _event("content_block_delta", index=self._count, delta=said)
            yield _event("content_block_stop", index=self._count)
            self._count += 1

    def text(self, text: str) -> Event | None:
        return self._delta("text", text) if self._last is not None and self._last.piece.kind in _PROSE else None

    def frame(self, frame: Frame) -> Sequence[Event]:
        """Return a frame of the user's, after the end of the block that it does not belong to; it may be that end."""
        said = frame.json if isinstance(frame.json, dict) else {}
        before: list[Event] = []
        if said.get("type") == "content_block_stop":
            named = [number for number, block in self._open.items() if block.index == said.get("index")]
            before += [event for event in self._close(self._blocks.end(named)) if event.name != said["type"]]
        if said.get("type") in _BETWEEN_BLOCKS:
            before += self._close(self._blocks.end())
            if isinstance(index := said.get("index"), int):
                self._count = max(self._count, index + 1)
        return (*before, named_event(frame))

    def ping(self) -> Event:
        return _event("ping")

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(anthropic_error(500, error.message, error.type)), name="error")

    def _delta(self, kind: Kind, text: str) -> Event:
        said, name = _DELTAS[kind]
        index = 0 if self._last is None else self._last.index
        return _event("content_block_delta", index=index, delta={"type": said, name: text})

    def _close(self, numbers: Iterable[int]) -> Iterator[Event]:
        for number in numbers:
            block = self._open.pop(number)
            self._last = None if block is self._last else self._last
            if block.piece.kind == "reasoning" and (signature := signature_of(block.piece)):
                signed = {"type": "signature_delta", "signature": signature}
                yield _event("content_block_delta", index=block.index, delta=signed)
            yield _event("content_block_stop", index=block.index)

    def _finish(self, usage: Usage) -> Iterator[Event]:
        yield from self._close(self._blocks.end())
        delta = _stop(self._reply, refused=self._refused)
        yield _event("message_delta", delta=delta, usage=_usage(usage))
        yield _event("message_stop")


class _BedrockEncoder(_Encoder):
    def error(self, error: ErrorEvent) -> Event:
        return bedrock_event(error)

    def _finish(self, usage: Usage) -> Iterator[Event]:
        *events, _ = super()._finish(usage)
        yield from events
        yield _event("message_stop", **invocation_metrics(usage))


@dataclass(slots=True)
class _OpenBlock:
    """A block that goes on: its index on the wire, and the last piece of it."""

    index: int
    piece: Block


def _event(name: str, **fields: Any) -> Event:
    return Event(json_text({"type": name, **fields}), name=name)


def _empty_block(piece: Block) -> Json:
    if piece.kind == "tool_call":
        return {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
    if piece.redacted:
        return {"type": "redacted_thinking", "data": piece.step.text}
    if piece.kind == "reasoning":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _citation(source: Citation) -> Json:
    said = {"url": source.url, "title": source.title, "cited_text": source.cited_text}
    return {"type": "web_search_result_location", **said, "encrypted_index": SIGNATURE}


def _server_tool(tool: ServerTool, number: int) -> list[Json]:
    """Return the block of a call that the provider runs itself, and the block of its result."""
    if tool.server is not None:
        return _mcp_tool(tool, number)
    name = f"srvtoolu_{number}"
    use = {"type": "server_tool_use", "id": name, "name": tool.name, "input": dict(tool.input)}
    result = {"type": _SERVER_TOOLS[tool.name], "tool_use_id": name, "content": _result(tool)}
    return [use, result]


def _mcp_tool(tool: ServerTool, number: int) -> list[Json]:
    """Return the blocks that say that a tool of an MCP server was called; or the one that lists its tools.

    Blocks: https://docs.anthropic.com/en/docs/agents-and-tools/mcp-connector
    """
    if tool.name == LISTING:
        return [{"type": "mcp_tool_listing", "mcp_server_name": tool.server, "tools": tools_of(tool.result)}]
    name, called = f"mcptoolu_{number}", {"name": tool.name, "server_name": tool.server, "input": dict(tool.input)}
    error = error_of(tool.result)
    said = tool.result if error is None else error
    content = blocks_with(said) if isinstance(said, str) else list(said or ())
    result = {"type": "mcp_tool_result", "tool_use_id": name, "is_error": error is not None, "content": content}
    return [{"type": "mcp_tool_use", "id": name, **called}, result]


def _result(tool: ServerTool) -> Any:
    if isinstance(tool.result, Mapping):
        return dict(tool.result)
    if tool.name == "web_search":
        made: Json = {"type": "web_search_result", "title": "", "encrypted_content": SIGNATURE, "page_age": None}
        return [{**made, **one} for one in search_results(tool.result)]
    return {"type": f"{tool.name}_result", "stdout": tool.result or "", "stderr": "", "return_code": 0, "content": []}


def _usage(usage: Usage) -> Json:
    """Return the tokens as Anthropic counts them: those of the cache are beside the input, not in it."""
    told: Json = {"input_tokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens}
    told["cache_creation_input_tokens"] = usage.cache_write_tokens
    told["cache_read_input_tokens"] = usage.cached_tokens
    told["output_tokens"] = usage.completion_tokens
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def _stop(reply: Reply, *, refused: bool) -> Json:
    reason = "refusal" if refused and reply.finish_reason == "end_turn" else reply.finish_reason
    sequences = reply.request.params.get("stop_sequences")
    hit = sequences[0] if reason == "stop_sequence" and isinstance(sequences, list) and sequences else None
    return {"stop_reason": reason, "stop_sequence": hit}


def _message(reply: Reply, content: list[Json], stop: Json | None) -> Json:
    return {
        "id": f"msg_{reply.number}",
        "type": "message",
        "role": "assistant",
        "model": reply.request.model,
        "content": content,
        **(stop or {"stop_reason": None, "stop_sequence": None}),
    }


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    content: list[Json] = []
    numbers = count(1)
    for block in blocks_of(chunks, refusals_are_text=True):
        if block.kind == "server_tool":
            content += _server_tool(block.step, next(numbers))
        elif block.kind == "tool_call":
            content.append(_empty_block(block) | {"input": arguments_of(block.text)})
        elif block.redacted:
            content.append(_empty_block(block))
        elif block.kind == "reasoning":
            content.append(_empty_block(block) | {"thinking": block.text, "signature": signature_of(block)})
        else:
            cited = {"citations": list(map(_citation, block.citations))} if block.citations else {}
            content.append(_empty_block(block) | {"text": block.text} | cited)
    stop = _stop(reply, refused=any(chunk.refusal for chunk in chunks))
    return _message(reply, content, stop) | {"usage": _usage(usage_of(chunks))}


def _objection(request: ParsedRequest, script: Script) -> str | None:
    return (
        broken_whole_arguments(request, script)
        or odd_calls(script, needs_ids=True)
        or odd_tool(script, _SERVER_TOOLS, searches=("web_search",), code=_CODE, own_shape=True, odd_mcp=_odd_mcp_tool)
    )


def _odd_mcp_tool(tool: ServerTool) -> str | None:
    return odd_mcp_tool(tool, in_blocks=True)


FORMAT = WireFormat(
    name="Anthropic Messages",
    provider="anthropic",
    shown="POST …/v1/messages",
    path=re.compile(r"/v1/messages$"),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=anthropic_error,
    error_status=ANTHROPIC_STATUS,
    finish_reasons=words(
        "stop_sequence",
        "pause_turn",
        "model_context_window_exceeded",
        stop="end_turn",
        length="max_tokens",
        tool_calls="tool_use",
        content_filter="refusal",
        function_call="tool_use",
    ),
    objection=_objection,
    extras=(Interleave, ServerTool, Citation),
    frame=_Encoder.frame,
    garbled="content_block_delta",
    decoding=DECODING,
)
VERTEX = replace(
    FORMAT,
    name="Anthropic Messages by way of Vertex AI",
    provider="vertex",
    shown="POST …/models/M:rawPredict and :streamRawPredict",
    path=re.compile(r"/models/(?P<model>(?!count-tokens:)[^/:]+):(?P<call>rawPredict|streamRawPredict)$"),
)
BEDROCK = replace(
    FORMAT,
    name="Anthropic Messages by way of Bedrock",
    provider="bedrock",
    shown="POST …/model/M/invoke and /invoke-with-response-stream",
    # A profile or a provisioned model does not say whose it is; most are Anthropic's, and the body says so.
    path=re.compile(
        r"/model/(?P<model>(?:.*\b)?anthropic\.[^/]+|arn:[^/]+:(?:application-inference-profile|provisioned-model)/[^/]+)"
        r"/(?P<call>invoke|invoke-with-response-stream)$"
    ),
    parse=_parse_for_bedrock,
    encoder=_BedrockEncoder,
    error=bedrock_error,
    error_status=BEDROCK_STATUS,
    decoding=BY_BEDROCK,
)
