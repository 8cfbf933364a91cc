"""Cohere Chat: ``POST {base}/v2/chat``.

Streaming: https://docs.cohere.com/v2/docs/streaming; the object: https://docs.cohere.com/v2/reference/chat. Each event
has a name, and after the last one comes ``[DONE]``. What a model says before it calls a tool is its plan
(``tool_plan``), not content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.blocks import Block, blocks_of, odd_calls, pieces_of, sealed_reasoning, usage_of
from pytest_mockstream.wire.decoders import cohere_chat
from pytest_mockstream.wire.errors import cohere_error
from pytest_mockstream.wire.format import Json, ParsedRequest, Reply, WireFormat, uuid_of, words
from pytest_mockstream.wire.reading import content_of, flag, objects, refuse, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_CALLS_TOOLS = "TOOL_CALL"


def _parse(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    refuse(body, "logprobs", "a script has no log probabilities")
    return ParsedRequest(
        model=text_field(body, "model"),
        messages=[_normalised(message) for message in objects(body, "messages", required=True)],
        tools=objects(body, "tools"),
        params=rest(body, "model", "messages", "tools", "stream"),
        framing="sse" if flag(body, "stream") else None,
    )


def _normalised(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message whose results of tools are text, also those that came as documents."""
    content = message.get("content")
    if message.get("role") != "tool" or not isinstance(content, list):
        return message
    return {**message, "content": content_of([_as_text(part) for part in content])}


def _as_text(part: Any) -> Any:
    document = part.get("document") if isinstance(part, dict) else None
    if not isinstance(document, dict):
        return part
    data = document.get("data", "")
    return {"type": "text", "text": data if isinstance(data, str) else json_text(data)}


def _is_plan(reply: Reply) -> bool:
    return reply.finish_reason == _CALLS_TOOLS


class _Encoder:
    """Opens and closes the parts of a message, which are numbered; tool calls have numbers of their own."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._parts = -1
        self._open: tuple[str, int] | None = None  # the kind of the part that is open, and the number of its call

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
            yield _event("message-start", id=uuid_of(self._reply.number), delta={"message": message})
        if chunk.finish_reason is not None:
            yield from self._close()
            delta = {"finish_reason": self._reply.finish_reason, "usage": _usage(chunk.usage or Usage())}
            yield _event("message-end", delta=delta)
            yield Event("[DONE]")
            return
        for piece in pieces_of(chunk):
            yield from self._piece(piece)

    def _piece(self, piece: Block) -> Iterator[Event]:
        if piece.kind == "tool_call":
            yield from self._call(piece)
        elif piece.kind != "reasoning" and _is_plan(self._reply):
            yield from self._close()
            yield _event("tool-plan-delta", delta={"message": {"tool_plan": piece.text}})
        else:
            yield from self._content(piece)

    def _content(self, piece: Block) -> Iterator[Event]:
        kind = "thinking" if piece.kind == "reasoning" else "text"
        if self._open != (kind, 0) or piece.new_block:
            yield from self._close()
            self._parts += 1
            self._open = kind, 0
            yield self._part("content-start", {"content": {"type": kind, kind: ""}})
        yield self._part("content-delta", {"content": {kind: piece.text}})

    def _call(self, piece: Block) -> Iterator[Event]:
        if self._open != ("tool_call", piece.index) or piece.id:
            yield from self._close()
            self._open = "tool_call", piece.index
            call = {"id": piece.id, "type": "function", "function": {"name": piece.name, "arguments": ""}}
            yield _event("tool-call-start", index=piece.index, delta={"message": {"tool_calls": call}})
        if piece.text:
            function = {"function": {"arguments": piece.text}}
            yield _event("tool-call-delta", index=piece.index, delta={"message": {"tool_calls": function}})

    def _part(self, name: str, message: Json) -> Event:
        return _event(name, index=self._parts, delta={"message": message})

    def _close(self) -> Iterator[Event]:
        if self._open is not None:
            kind, index = self._open
            self._open = None
            yield (
                _event("tool-call-end", index=index)
                if kind == "tool_call"
                else _event("content-end", index=self._parts)
            )

    def text(self, text: str) -> Event | None:
        if self._open != ("text", 0):
            return None
        return self._part("content-delta", {"content": {"text": text}})

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        delta = {"error": error.message, "finish_reason": error.type or "ERROR", "usage": _usage(Usage())}
        return _event("message-end", delta=delta)


def _event(name: str, **fields: Any) -> Event:
    return Event(json_text({"type": name, **fields}), name=name)


def _usage(usage: Usage) -> Json:
    tokens = {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens}
    return {"billed_units": tokens, "tokens": tokens, "cached_tokens": usage.cached_tokens}


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    message: Json = {"role": "assistant"}
    for block in blocks_of(chunks, refusals_are_text=True, has_signatures=False):
        if block.kind == "tool_call":
            function = {"name": block.name, "arguments": block.text}
            message.setdefault("tool_calls", []).append({"id": block.id, "type": "function", "function": function})
        elif block.kind == "reasoning":
            message.setdefault("content", []).append({"type": "thinking", "thinking": block.text})
        elif _is_plan(reply):
            message["tool_plan"] = message.get("tool_plan", "") + block.text
        else:
            message.setdefault("content", []).append({"type": "text", "text": block.text})
    if message.keys() == {"role"}:
        message["content"] = [{"type": "text", "text": ""}]
    told = {"id": uuid_of(reply.number), "finish_reason": reply.finish_reason, "message": message}
    return told | {"usage": _usage(usage_of(chunks))}


def _objection(_request: ParsedRequest, script: Script) -> str | None:
    return sealed_reasoning(script) or odd_calls(script, needs_ids=True)


FORMAT = WireFormat(
    name="Cohere Chat",
    provider="cohere",
    shown="POST …/v2/chat",
    path=re.compile(r"/v2/chat$"),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=cohere_error,
    error_status={},
    objection=_objection,
    decoding=cohere_chat.DECODING,
    finish_reasons=words(
        "STOP_SEQUENCE",
        "TIMEOUT",
        stop="COMPLETE",
        length="MAX_TOKENS",
        tool_calls=_CALLS_TOOLS,
        content_filter="ERROR",
        function_call=_CALLS_TOOLS,
    ),
)
