"""Ollama: ``POST {host}/api/chat`` and ``POST {host}/api/generate``; both stream unless told not to.

API: https://github.com/ollama/ollama/blob/main/docs/api.md. A stream has one JSON object on each line; a tool call
comes in one piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent, Interleave, Together, ToolCall
from pytest_mockstream.wire.blocks import (
    Block,
    arguments_of,
    blocks_of,
    broken_arguments,
    odd_calls,
    pieces_of,
    sealed_reasoning,
    usage_of,
)
from pytest_mockstream.wire.decoders.ollama import DECODING
from pytest_mockstream.wire.errors import ollama_error
from pytest_mockstream.wire.format import (
    CREATED_TEXT,
    BadRequestError,
    Json,
    Objection,
    Parse,
    ParsedRequest,
    Reply,
    WireFormat,
    words,
)
from pytest_mockstream.wire.reading import flag, objects, refuse, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_MILLISECOND = 1_000_000
_DURATIONS = {
    "total_duration": 4 * _MILLISECOND,
    "load_duration": _MILLISECOND,
    "prompt_eval_duration": _MILLISECOND,
    "eval_duration": 2 * _MILLISECOND,
}


def _parse_chat(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    _refuse_logprobs(body)
    return ParsedRequest(
        model=text_field(body, "model"),
        messages=objects(body, "messages"),
        tools=objects(body, "tools"),
        params=rest(body, "model", "messages", "tools", "stream"),
        framing="ndjson" if flag(body, "stream", default=True) else None,
    )


def _refuse_logprobs(body: Json) -> None:
    for name in ("logprobs", "top_logprobs"):
        refuse(body, name, "a script has no log probabilities")


def _parse_generate(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    _refuse_logprobs(body)
    messages: list[Mapping[str, Any]] = []
    for name, role in (("system", "system"), ("prompt", "user")):
        text = body.get(name) or ""
        if not isinstance(text, str):
            raise BadRequestError(f"{name!r} must be text, but it is {brief(text)}")
        if text:
            messages.append({"role": role, "content": text})
    return ParsedRequest(
        model=text_field(body, "model"),
        messages=messages,
        params=rest(body, "model", "system", "prompt", "stream"),
        framing="ndjson" if flag(body, "stream", default=True) else None,
    )


def _chat_fields(blocks: Iterable[Block]) -> Json:
    message: Json = {"role": "assistant", "content": ""}
    for block in blocks:
        if block.kind == "tool_call":
            call = {"function": {"name": block.name, "arguments": arguments_of(block.text)}}
            message.setdefault("tool_calls", []).append(call)
        else:
            name = "thinking" if block.kind == "reasoning" else "content"
            message[name] = message.get(name, "") + block.text
    return {"message": message}


def _generate_fields(blocks: Iterable[Block]) -> Json:
    message = _chat_fields(blocks)["message"]
    return {"response": message["content"]} | ({"thinking": message["thinking"]} if "thinking" in message else {})


Fields: TypeAlias = Callable[[Iterable[Block]], Json]


class _Encoder:
    def __init__(self, reply: Reply, fields: Fields) -> None:
        self._reply = reply
        self._fields = fields

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if chunk.finish_reason is None:
            return [self._line(pieces) for pieces in (pieces_of(chunk),) if pieces]
        return [self._line([], _end(self._reply, chunk.usage or Usage()))]

    def text(self, text: str) -> Event:
        return self._line([Block(kind="text", text=text)])

    def ping(self) -> Event:
        return self._line([])

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(ollama_error(500, error.message)))

    def _line(self, blocks: Iterable[Block], end: Json | None = None) -> Event:
        return Event(json_text(_object(self._reply, self._fields(blocks), end or {"done": False})))


def _object(reply: Reply, fields: Json, end: Json) -> Json:
    return {"model": reply.request.model, "created_at": CREATED_TEXT, **fields, **end}


def _end(reply: Reply, usage: Usage) -> Json:
    counts = {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.completion_tokens}
    return {"done": True, "done_reason": reply.finish_reason, **_DURATIONS, **counts}


def _cannot_generate(_request: ParsedRequest, script: Script) -> str | None:
    for step in script.contents:
        if isinstance(step, ToolCall):
            return f"it has no field for {brief(step)}; /api/chat has one"
    return sealed_reasoning(script)


def _cannot_chat(_request: ParsedRequest, script: Script) -> str | None:
    return broken_arguments(script) or odd_calls(script, needs_ids=False) or sealed_reasoning(script)


def _format(path: str, parse: Parse, fields: Fields, objection: Objection, *, whole_calls: bool = False) -> WireFormat:
    return WireFormat(
        name=f"Ollama {path}",
        provider="ollama",
        shown=f"POST …/api/{path}",
        path=re.compile(rf"/api/{path}$"),
        parse=parse,
        encoder=lambda reply: _Encoder(reply, fields),
        whole=lambda reply, chunks: _object(reply, fields(blocks_of(chunks)), _end(reply, usage_of(chunks))),
        error=ollama_error,
        error_status={},
        finish_reasons=words("load", "unload", stop="stop", length="length", tool_calls="stop", function_call="stop"),
        objection=objection,
        extras=(Interleave, Together),
        whole_calls=whole_calls,
        decoding=DECODING,
    )


CHAT = _format("chat", _parse_chat, _chat_fields, _cannot_chat, whole_calls=True)
GENERATE = _format("generate", _parse_generate, _generate_fields, _cannot_generate)
