"""OpenAI Chat Completions: ``POST {base}/chat/completions``.

Streaming: https://platform.openai.com/docs/api-reference/chat-streaming; the object:
https://platform.openai.com/docs/api-reference/chat/object. Reasoning is in ``reasoning_content``, a field that OpenAI
does not have, but DeepSeek, vLLM and many gateways do (https://api-docs.deepseek.com/guides/reasoning_model).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.blocks import Block, blocks_of, piece_of, usage_of
from pytest_mockstream.wire.errors import OPENAI_STATUS, openai_error
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.reading import flag, objects, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

_TAKEN = ("model", "messages", "tools", "stream", "stream_options")
_FIELDS = {"text": "content", "reasoning": "reasoning_content", "refusal": "refusal"}


def _parse(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    streaming = flag(body, "stream")
    options = body.get("stream_options") or {}
    if body.get("n") not in {None, 1}:
        raise BadRequestError(f"'n' must be 1, but it is {body['n']!r}: a script is one reply")
    return ParsedRequest(
        # Azure has the deployment in the path: /openai/deployments/{model}/chat/completions
        model=groups.get("model") or text_field(body, "model"),
        messages=objects(body, "messages", required=True),
        tools=objects(body, "tools"),
        params=rest(body, *_TAKEN),
        framing="sse" if streaming else None,
        include_usage=isinstance(options, dict) and flag(options, "include_usage"),
    )


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._frame = _head(reply, "chat.completion.chunk")
        self._usage: Json = {"usage": None} if reply.request.include_usage else {}

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        events = [] if chunk.role is None else [self._delta({"role": chunk.role, "content": "", "refusal": None})]
        if chunk.finish_reason is None:
            return [*events, self._delta(_delta_of(piece_of(chunk)))]
        events.append(self._delta({}, self._reply.finish_reason))
        if self._reply.request.include_usage:
            usage = self._frame | {"choices": [], "usage": _usage(chunk.usage or Usage())}
            events.append(Event(json_text(usage)))
        return [*events, Event("[DONE]")]

    def text(self, text: str) -> Event:
        return self._delta({"content": text})

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(openai_error(500, error.message, error.type)))

    def _delta(self, delta: Json, finish_reason: str | None = None) -> Event:
        return Event(json_text(self._frame | {"choices": [_choice(finish_reason, delta=delta)]} | self._usage))


def _head(reply: Reply, kind: str) -> Json:
    return {"id": f"chatcmpl-{reply.number}", "object": kind, "created": CREATED, "model": reply.request.model}


def _choice(finish_reason: str | None, **said: Json) -> Json:
    return {"index": 0, **said, "logprobs": None, "finish_reason": finish_reason}


def _delta_of(piece: Block) -> Json:
    if piece.kind == "tool_call":
        call = _call(piece) if piece.id else {"function": {"arguments": piece.text}}
        return {"tool_calls": [{"index": piece.index, **call}]}
    return {_FIELDS[piece.kind]: piece.text}


def _call(block: Block) -> Json:
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": block.text}}


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    for block in blocks_of(chunks):
        if block.kind == "tool_call":
            message.setdefault("tool_calls", []).append(_call(block))
        else:
            name = _FIELDS[block.kind]
            message[name] = (message.get(name) or "") + block.text
    if message["content"] is None and message["refusal"] is None and "tool_calls" not in message:
        message["content"] = ""
    choices = [_choice(reply.finish_reason, message=message)]
    return _head(reply, "chat.completion") | {"choices": choices, "usage": _usage(usage_of(chunks))}


FORMAT = WireFormat(
    name="OpenAI Chat Completions",
    provider="openai",
    shown="POST …/chat/completions",
    path=re.compile(r"(?:/deployments/(?P<model>[^/]+))?/chat/completions$"),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=openai_error,
    error_status=OPENAI_STATUS,
    finish_reasons=words(
        stop="stop",
        length="length",
        tool_calls="tool_calls",
        content_filter="content_filter",
        function_call="function_call",
    ),
)
