"""Gemini: ``POST {base}/v1beta/models/M:generateContent`` and ``:streamGenerateContent``, and Vertex AI's paths.

API: https://ai.google.dev/api/generate-content. With ``?alt=sse`` a stream is an event stream, without it one JSON
array. A function call comes in one piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.blocks import Block, Kind, arguments_of, blocks_of, broken_arguments, piece_of, usage_of
from pytest_mockstream.wire.errors import GEMINI_STATUS, gemini_error
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.reading import call_message, joined_text, objects, rest
from pytest_mockstream.wire.sse import Event, Framing, json_text

#: Stands for the model's thoughts, and must be sent back: https://ai.google.dev/gemini-api/docs/thought-signatures
SIGNATURE = "bW9ja3N0cmVhbS10aG91Z2h0"


def _parse(body: Json, groups: Mapping[str, str], query: Mapping[str, str]) -> ParsedRequest:
    streaming, alt = groups["method"] == "streamGenerateContent", query.get("alt", "json")
    if alt not in {"sse", "json"}:
        raise BadRequestError(f"'alt' must be 'sse' or 'json', but it is {alt!r}")
    if "stream" in body:
        raise BadRequestError("there is no field 'stream': streaming is asked for by ':streamGenerateContent'")
    if alt == "sse" and not streaming:
        raise BadRequestError("'alt=sse' is for ':streamGenerateContent'; ':generateContent' does not stream")
    framing: Framing | None = None if not streaming else "sse" if alt == "sse" else "array"
    instruction = body.get("systemInstruction", body.get("system_instruction"))
    messages: list[Mapping[str, Any]] = []
    if instruction:
        messages.append({"role": "system", "content": _text_of(instruction)})
    contents = (
        [body["contents"]] if isinstance(body.get("contents"), dict) else objects(body, "contents", required=True)
    )
    for content in contents:
        messages.extend(_normalised(content))
    taken = ("contents", "systemInstruction", "system_instruction", "tools")
    return ParsedRequest(
        model=groups["model"],
        messages=messages,
        tools=objects(body, "tools"),
        params=rest(body, *taken),
        framing=framing,
    )


def _text_of(content: object) -> str:
    return joined_text(content.get("parts", content)) if isinstance(content, Mapping) else joined_text(content)


def _normalised(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    given = content.get("parts", [])
    parts = [part for part in ([given] if isinstance(given, dict) else given) if isinstance(part, dict)]
    role = "assistant" if content.get("role") == "model" else "user"
    responses = [part["functionResponse"] for part in parts if isinstance(part.get("functionResponse"), dict)]
    calls = [part["functionCall"] for part in parts if isinstance(part.get("functionCall"), dict)]
    said = [part for part in parts if "functionResponse" not in part and "functionCall" not in part]
    for response in responses:
        result = json.dumps(response.get("response"), ensure_ascii=False)
        yield {"role": "tool", "name": response.get("name"), "tool_call_id": response.get("id"), "content": result}
    if calls:
        text = joined_text([part for part in said if not part.get("thought")])
        yield call_message(text, [(call.get("id"), call.get("name"), call.get("args") or {}) for call in calls])
    elif said or not responses:
        yield {"role": role, "content": said}


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._before: Kind | None = None

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.finish_reason is not None:
            part = _part(Block(kind="text"), before=self._before)
            yield self._event([part], chunk.usage or Usage(), self._reply.finish_reason)
            return
        piece = piece_of(chunk)
        yield self._event([_part(piece, before=self._before)])
        self._before = piece.kind

    def text(self, text: str) -> Event | None:
        return None if self._before == "reasoning" else self._event([{"text": text}])

    def ping(self) -> Event:
        return self._event([{"text": ""}])

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(gemini_error(GEMINI_STATUS.get(error.type or "", 503), error.message, error.type)))

    def _event(self, parts: list[Json], usage: Usage | None = None, finish_reason: str | None = None) -> Event:
        return Event(json_text(_response(self._reply, parts, usage, finish_reason)))


def _part(block: Block, *, before: Kind | None) -> Json:
    """Return a block as a part; the first part after reasoning has the signature, whatever its kind."""
    if block.kind == "reasoning":
        return {"text": block.text, "thought": True}
    signature = {"thoughtSignature": SIGNATURE} if before == "reasoning" else {}
    if block.kind == "tool_call":
        return {"functionCall": {"id": block.id, "name": block.name, "args": arguments_of(block.text)}} | signature
    return {"text": block.text} | signature


def _response(reply: Reply, parts: list[Json], usage: Usage | None, finish_reason: str | None) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish_reason is not None:
        candidate["finishReason"] = finish_reason
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(usage or Usage(prompt_tokens=reply.prompt_tokens)),
        "modelVersion": reply.request.model,
        "responseId": f"response-{reply.number}",
    }


def _usage(usage: Usage) -> Json:
    told = {"promptTokenCount": usage.prompt_tokens, "totalTokenCount": usage.total_tokens}
    # Unlike OpenAI's, this count of output tokens does not include the thoughts.
    if usage.completion_tokens:
        told["candidatesTokenCount"] = usage.completion_tokens - usage.reasoning_tokens
    return told | ({"thoughtsTokenCount": usage.reasoning_tokens} if usage.reasoning_tokens else {})


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    blocks = blocks_of(chunks)
    before = [None, *(block.kind for block in blocks)]
    parts = [_part(block, before=kind) for kind, block in zip(before, blocks, strict=False)]
    return _response(reply, parts or [{"text": ""}], usage_of(chunks), reply.finish_reason)


FORMAT = WireFormat(
    name="Gemini",
    provider="gemini",
    shown="POST …/models/M:generateContent and :streamGenerateContent",
    path=re.compile(r"/(?:models|tunedModels|endpoints)/(?P<model>[^/:]+):(?P<method>(?:g|streamG)enerateContent)$"),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=gemini_error,
    error_status=GEMINI_STATUS,
    finish_reasons=words(
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MALFORMED_FUNCTION_CALL",
        "IMAGE_SAFETY",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        stop="STOP",
        length="MAX_TOKENS",
        tool_calls="STOP",
        content_filter="SAFETY",
        function_call="STOP",
    ),
    objection=lambda _ask, script: broken_arguments(script),
    whole_calls=True,
)
