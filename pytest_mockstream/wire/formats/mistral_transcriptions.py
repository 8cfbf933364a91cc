"""Mistral's transcriptions of audio: what a script says is the text that was heard.

https://docs.mistral.ai/api/endpoint/audio/transcriptions
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent, Reasoning, Refusal, ToolCall
from pytest_mockstream.wire.blocks import blocks_of, pieces_of, usage_of
from pytest_mockstream.wire.decoders.mistral_transcriptions import DECODING
from pytest_mockstream.wire.errors import mistral_error
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.media import seconds_of
from pytest_mockstream.wire.reading import rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


def _parse(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    model = text_field(body, "model")
    if not any(body.get(name) for name in ("file", "file_url", "file_id")):
        raise BadRequestError("'file' must be a file, or 'file_url' or 'file_id' must say where it is")
    streaming = str(body.get("stream", "")).lower() == "true"  # in a form, everything is text
    return ParsedRequest(model=model, params=rest(body, "model", "stream"), framing="sse" if streaming else None)


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._said: list[str] = []

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if chunk.finish_reason is not None:
            return [_event("transcription.done", **_told(self._reply, "".join(self._said), chunk.usage or Usage()))]
        heard = [piece.text for piece in pieces_of(chunk)]
        self._said += heard
        return [_event("transcription.text.delta", text=text) for text in heard]

    def text(self, _text: str) -> None:
        return None  # the last event repeats them all

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(mistral_error(500, error.message, error.type)))


def _event(type: str, **fields: Any) -> Event:  # noqa: A002 - the field's name
    return Event(json_text({"type": type, **fields}), name=type)


def _told(reply: Reply, text: str, usage: Usage) -> Json:
    return {
        "model": reply.request.model,
        "text": text,
        "language": reply.request.params.get("language"),
        "segments": [],
        "usage": {
            "prompt_audio_seconds": round(seconds_of(text)),
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    }


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    text = "".join(block.text for block in blocks_of(chunks) if block.kind == "text")
    return _told(reply, text, usage_of(chunks))


FORMAT = WireFormat(
    name="Mistral Transcriptions",
    provider="mistral",
    shown="POST …/v1/audio/transcriptions",
    path=re.compile(r"/v1/audio/transcriptions$"),
    header="user-agent: mistral",
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=mistral_error,
    error_status={},
    finish_reasons=words(stop="stop", length="length"),
    lacks=dict.fromkeys((Reasoning, Refusal, ToolCall), "what a script says here is what was heard"),
    reads="form",
    decoding=DECODING,
)
