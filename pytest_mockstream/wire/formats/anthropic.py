"""Anthropic Messages: ``POST {base}/v1/messages``, and the same by way of Vertex AI (``:rawPredict``).

API: https://docs.anthropic.com/en/api/messages; streaming:
https://docs.anthropic.com/en/docs/build-with-claude/streaming; errors: https://docs.anthropic.com/en/api/errors. Every
frame needs its ``event:`` line: the SDK drops frames without one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.blocks import Block, Kind, arguments_of, blocks_of, broken_arguments, piece_of, usage_of
from pytest_mockstream.wire.errors import ANTHROPIC_STATUS, anthropic_error
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.reading import call_message, flag, joined_text, objects, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

SIGNATURE = "bW9ja3N0cmVhbS1zaWduYXR1cmU="
_DELTAS: dict[Kind, tuple[str, str]] = {
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "tool_call": ("input_json_delta", "partial_json"),
}
_PROSE = ("text", "refusal")  # both are blocks of text here
_TAKEN = ("model", "messages", "system", "tools", "stream")


def _parse(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    system = joined_text(body.get("system") or "")
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


def _normalised(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Split a message: results of tools come inside the user's messages, and become messages of their own."""
    role, content = message.get("role", "user"), message.get("content", "")
    if not isinstance(content, list):
        yield dict(message)
        return
    parts = [part for part in content if isinstance(part, dict)]
    calls = [part for part in parts if part.get("type") == "tool_use"]
    results = [part for part in parts if part.get("type") == "tool_result"]
    said = [part for part in parts if part not in calls and part not in results]
    for part in results:
        result = {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": joined_text(part.get("content"))}
        yield result | ({"is_error": True} if part.get("is_error") else {})
    if calls:
        made = [(call.get("id"), call.get("name"), call.get("input")) for call in calls]
        yield call_message(joined_text(said), made)
    elif said or not results:
        yield {"role": role, "content": said}


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._open: Block | None = None
        self._index = -1
        self._refused = False

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            usage = {"input_tokens": self._reply.prompt_tokens, "output_tokens": 0}
            message = _message(self._reply, [], None) | {"usage": usage}
            yield _event("message_start", message=message)
        if chunk.finish_reason is not None:
            yield from self._finish(chunk.usage or Usage())
            return
        piece = piece_of(chunk)
        self._refused = self._refused or piece.kind == "refusal"
        if self._open is None or not _same_block(self._open, piece):
            yield from self._close()
            self._open = piece
            self._index += 1
            yield _event("content_block_start", index=self._index, content_block=_empty_block(piece))
        yield self._delta(piece.kind, piece.text)

    def text(self, text: str) -> Event | None:
        return self._delta("text", text) if self._open is not None and self._open.kind in _PROSE else None

    def ping(self) -> Event:
        return _event("ping")

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(anthropic_error(500, error.message, error.type)), name="error")

    def _delta(self, kind: Kind, text: str) -> Event:
        said, name = _DELTAS[kind]
        return _event("content_block_delta", index=self._index, delta={"type": said, name: text})

    def _close(self) -> Iterator[Event]:
        if self._open is None:
            return
        if self._open.kind == "reasoning":
            signed = {"type": "signature_delta", "signature": SIGNATURE}
            yield _event("content_block_delta", index=self._index, delta=signed)
        yield _event("content_block_stop", index=self._index)
        self._open = None

    def _finish(self, usage: Usage) -> Iterator[Event]:
        yield from self._close()
        delta = _stop(self._reply, refused=self._refused)
        yield _event("message_delta", delta=delta, usage=_usage(usage))
        yield _event("message_stop")


def _event(name: str, **fields: Any) -> Event:
    return Event(json_text({"type": name, **fields}), name=name)


def _same_block(one: Block, other: Block) -> bool:
    return (one.kind == other.kind and one.index == other.index) or (one.kind in _PROSE and other.kind in _PROSE)


def _empty_block(piece: Block) -> Json:
    if piece.kind == "tool_call":
        return {"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}}
    if piece.kind == "reasoning":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _usage(usage: Usage) -> Json:
    return {"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens} | (
        {"output_tokens_details": {"thinking_tokens": usage.reasoning_tokens}} if usage.reasoning_tokens else {}
    )


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
    blocks = blocks_of(chunks)
    for block in blocks:
        if block.kind == "tool_call":
            content.append(_empty_block(block) | {"input": arguments_of(block.text)})
        elif block.kind == "reasoning":
            content.append(_empty_block(block) | {"thinking": block.text, "signature": SIGNATURE})
        elif content and content[-1]["type"] == "text":
            content[-1]["text"] += block.text
        else:
            content.append(_empty_block(block) | {"text": block.text})
    stop = _stop(reply, refused=any(block.kind == "refusal" for block in blocks))
    return _message(reply, content, stop) | {"usage": _usage(usage_of(chunks))}


def _objection(request: ParsedRequest, script: Script) -> str | None:
    broken = None if request.framing else broken_arguments(script)
    return broken and f"{broken}; only its stream can send that"


FORMAT = WireFormat(
    name="Anthropic Messages",
    provider="anthropic",
    shown="POST …/v1/messages",
    path=re.compile(r"(?:/v1/messages|/models/(?P<model>[^/:]+):(?P<call>rawPredict|streamRawPredict))$"),
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
    garbled="content_block_delta",
)
