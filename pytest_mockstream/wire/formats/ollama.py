"""Ollama: ``POST {host}/api/chat`` and ``POST {host}/api/generate``; both stream unless told not to.

The API: https://github.com/ollama/ollama/blob/main/docs/api.md. One JSON object a line; a tool call comes whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent, ToolCall
from pytest_mockstream.wire.blocks import Block, blocks_of, piece_of
from pytest_mockstream.wire.calls import arguments_of, broken_arguments
from pytest_mockstream.wire.errors import ollama_error
from pytest_mockstream.wire.format import CREATED_TEXT, Ask, BadRequestError, Json, Reply, WireFormat, words
from pytest_mockstream.wire.reading import flag, objects, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

_MILLISECOND = 1_000_000
_DURATIONS = {
    "total_duration": 4 * _MILLISECOND,
    "load_duration": _MILLISECOND,
    "prompt_eval_duration": _MILLISECOND,
    "eval_duration": 2 * _MILLISECOND,
}
_FINISH = words("load", "unload", stop="stop", length="length", tool_calls="stop", function_call="stop")


def _parse_chat(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> Ask:
    return Ask(
        model=text_field(body, "model"),
        messages=objects(body, "messages"),
        tools=objects(body, "tools"),
        params=rest(body, "model", "messages", "tools", "stream"),
        framing="ndjson" if flag(body, "stream", default=True) else None,
    )


def _parse_generate(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> Ask:
    messages: list[Mapping[str, Any]] = []
    for name, role in (("system", "system"), ("prompt", "user")):
        text = body.get(name) or ""
        if not isinstance(text, str):
            raise BadRequestError(f"{name!r} must be text, but it is {text!r:.80}")
        if text:
            messages.append({"role": role, "content": text})
    return Ask(
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


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if chunk.finish_reason is None:
            return [self._line([piece_of(chunk)])]
        return [self._line([], _end(self._reply, chunk.usage))]

    def text(self, text: str) -> Event:
        return self._line([Block(kind="text", text=text)])

    def ping(self) -> Event:
        return self._line([])

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(ollama_error(500, error.message)))

    def _line(self, blocks: list[Block], end: Json | None = None) -> Event:
        return Event(json_text(_object(self._reply, self._fields(blocks), end or {"done": False})))

    def _fields(self, blocks: Iterable[Block]) -> Json:
        return _chat_fields(blocks)


class _GenerateEncoder(_Encoder):
    def _fields(self, blocks: Iterable[Block]) -> Json:
        return _generate_fields(blocks)


def _object(reply: Reply, fields: Json, end: Json) -> Json:
    return {"model": reply.ask.model, "created_at": CREATED_TEXT, **fields, **end}


def _end(reply: Reply, usage: Usage | None) -> Json:
    usage = usage or Usage()
    counts = {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.completion_tokens}
    return {"done": True, "done_reason": reply.finish_reason, **_DURATIONS, **counts}


def _usage(chunks: Sequence[StreamChunk]) -> Usage | None:
    return chunks[-1].usage if chunks else None


def _cannot_generate(_ask: Ask, script: Script) -> str | None:
    for step in script.steps:
        if isinstance(step, ToolCall):
            return f"it has no field for {step!r}; /api/chat has one"
    return None


CHAT = WireFormat(
    name="Ollama chat",
    provider="ollama",
    shown="POST …/api/chat",
    path=re.compile(r"/api/chat$"),
    parse=_parse_chat,
    encoder=_Encoder,
    whole=lambda reply, chunks: _object(reply, _chat_fields(blocks_of(chunks)), _end(reply, _usage(chunks))),
    error=ollama_error,
    error_status={},
    finish_reasons=_FINISH,
    objection=lambda _ask, script: broken_arguments(script),
    whole_calls=True,
)

GENERATE = WireFormat(
    name="Ollama generate",
    provider="ollama",
    shown="POST …/api/generate",
    path=re.compile(r"/api/generate$"),
    parse=_parse_generate,
    encoder=_GenerateEncoder,
    whole=lambda reply, chunks: _object(reply, _generate_fields(blocks_of(chunks)), _end(reply, _usage(chunks))),
    error=ollama_error,
    error_status={},
    finish_reasons=_FINISH,
    objection=_cannot_generate,
)
