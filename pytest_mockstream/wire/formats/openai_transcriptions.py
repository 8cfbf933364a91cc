"""OpenAI's transcriptions and translations of audio: what a script says is the text that was heard.

https://platform.openai.com/docs/api-reference/audio/createTranscription and
https://platform.openai.com/docs/api-reference/audio/createTranslation. Each word takes 0.3 s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent, Reasoning, Refusal, ToolCall
from pytest_mockstream.wire.blocks import blocks_of, pieces_of, usage_of
from pytest_mockstream.wire.decoders.openai_transcriptions import DECODING
from pytest_mockstream.wire.errors import OPENAI_STATUS, openai_error
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.media import SECONDS_A_WORD
from pytest_mockstream.wire.reading import rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_TEXTS = {"text": "text/plain; charset=utf-8", "srt": "application/x-subrip", "vtt": "text/vtt"}
_FORMATS = ("json", "verbose_json", "diarized_json", *_TEXTS)
_WORDS_A_SEGMENT = 12


def _parse(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str], *, streams: bool) -> ParsedRequest:
    model = text_field(body, "model")
    sent = body.get("file")
    if not isinstance(sent, dict):
        raise BadRequestError("'file' must be a file, but the form has no file of this name")
    kind = body.get("response_format", "json")
    if kind not in _FORMATS:
        raise BadRequestError(f"'response_format' is {brief(kind)}: give {', '.join(map(repr, _FORMATS))}")
    streaming = streams and body.get("stream") == "true"  # in a form, everything is text
    prompt = body.get("prompt")
    messages: list[Mapping[str, Any]] = (
        [{"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt else []
    )
    return ParsedRequest(
        model=model,
        messages=messages,
        params=rest(body, "model", "prompt", "stream"),
        framing="sse" if streaming else None,
    )


def _text(chunks: Sequence[StreamChunk]) -> str:
    return "".join(block.text for block in blocks_of(chunks) if block.kind == "text")


def _tokens(usage: Usage) -> Json:
    heard = usage.prompt_audio_tokens
    return {
        "type": "tokens",
        "input_tokens": usage.prompt_tokens,
        "input_token_details": {"text_tokens": usage.prompt_tokens - heard, "audio_tokens": heard},
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._said: list[str] = []

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if chunk.finish_reason is None:
            heard = [piece.text for piece in pieces_of(chunk)]
            self._said += heard
            return [_event("transcript.text.delta", delta=text) for text in heard]
        usage = _tokens(chunk.usage or Usage())
        return [_event("transcript.text.done", text="".join(self._said), usage=usage)]

    def text(self, _text: str) -> None:
        return None  # the last event repeats them all

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(openai_error(500, error.message, error.type, error.code)))


def _event(name: str, **fields: Any) -> Event:
    return Event(json_text({"type": name, **fields}))


def _segments(text: str) -> Iterator[tuple[int, float, float, str]]:
    """Yield number, start, end and text of each segment."""
    found = re.findall(r"\S+", text)
    for number, place in enumerate(range(0, len(found), _WORDS_A_SEGMENT)):
        part = found[place : place + _WORDS_A_SEGMENT]
        start = place * SECONDS_A_WORD
        yield number, round(start, 3), round(start + len(part) * SECONDS_A_WORD, 3), " ".join(part)


def _duration(text: str) -> float:
    return round(len(text.split()) * SECONDS_A_WORD, 3)


def _verbose(reply: Reply, text: str, task: str) -> Json:
    segments = [
        {
            "id": number,
            "seek": 0,
            "start": start,
            "end": end,
            "text": said,
            "tokens": [],
            "temperature": 0.0,
            "avg_logprob": -0.1,
            "compression_ratio": 1.0,
            "no_speech_prob": 0.0,
        }
        for number, start, end, said in _segments(text)
    ]
    whole = {"language": "english", "duration": _duration(text), "text": text, "segments": segments}
    if task == "translate":
        return {"task": task, **whole}
    asked = reply.request.params.get("timestamp_granularities") or []
    heard = [
        {
            "word": word,
            "start": round(place * SECONDS_A_WORD, 3),
            "end": round((place + 1) * SECONDS_A_WORD, 3),
        }
        for place, word in enumerate(text.split())
    ]
    usage = {"type": "duration", "seconds": _duration(text)}
    return {"task": task, **whole, **({"words": heard} if "word" in asked else {}), "usage": usage}


def _diarized(text: str, usage: Usage) -> Json:
    segments = [
        {
            "type": "transcript.text.segment",
            "id": f"seg_{number}",
            "start": start,
            "end": end,
            "speaker": "A",
            "text": said,
        }
        for number, start, end, said in _segments(text)
    ]
    told = {"task": "transcribe", "duration": _duration(text), "text": text}
    return {**told, "segments": segments, "usage": _tokens(usage)}


def _clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    hours, rest_ = divmod(milliseconds, 3_600_000)
    minutes, rest_ = divmod(rest_, 60_000)
    return f"{hours:02}:{minutes:02}:{rest_ // 1000:02}{mark}{rest_ % 1000:03}"


def _subtitles(text: str, kind: str) -> str:
    mark = "," if kind == "srt" else "."
    numbered = kind == "srt"
    parts = [
        (f"{number + 1}\n" if numbered else "") + f"{_clock(start, mark)} --> {_clock(end, mark)}\n{said}\n"
        for number, start, end, said in _segments(text)
    ]
    return "\n".join(parts if numbered else ["WEBVTT\n", *parts])


def _whole(reply: Reply, chunks: Sequence[StreamChunk], *, task: str) -> Json | str:
    text, usage = _text(chunks), usage_of(chunks)
    match reply.request.params.get("response_format", "json"):
        case "text":
            return f"{text}\n"
        case "srt" | "vtt" as kind:
            return _subtitles(text, kind)
        case "verbose_json":
            return _verbose(reply, text, task)
        case "diarized_json":
            return _diarized(text, usage)
    return {"text": text} if task == "translate" else {"text": text, "usage": _tokens(usage)}


def _whole_type(request: ParsedRequest) -> str:
    return _TEXTS.get(request.params.get("response_format", "json"), "application/json")


def _format(path: str, name: str, task: str) -> WireFormat:
    return WireFormat(
        name=name,
        provider="openai",
        shown=f"POST …/audio/{path}",
        path=re.compile(rf"(?:/deployments/[^/]+)?/audio/{path}$"),
        parse=partial(_parse, streams=task == "transcribe"),
        encoder=_Encoder,
        whole=lambda reply, chunks: _whole(reply, chunks, task=task),
        error=openai_error,
        error_status=OPENAI_STATUS,
        has_codes=True,
        finish_reasons=words(stop="stop", length="length", content_filter="content_filter"),
        lacks=dict.fromkeys((Reasoning, Refusal, ToolCall), "what a script says here is what was heard"),
        reads="form",
        decoding=DECODING,
        whole_type=_whole_type,
    )


TRANSCRIPTIONS = _format("transcriptions", "OpenAI Transcriptions", "transcribe")
TRANSLATIONS = _format("translations", "OpenAI Translations", "translate")
