"""OpenAI's speech: a tone or silence as long as the text takes to say.

https://platform.openai.com/docs/api-reference/audio/createSpeech
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.wire.format import BadRequestError, Json
from pytest_mockstream.wire.media import mp3, pcm, wav
from pytest_mockstream.wire.plain import PlainEndpoint, PlainRequest, Told, told_events
from pytest_mockstream.wire.reading import text_field
from pytest_mockstream.wire.sse import Event, Framing, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_FORMATS = {"mp3": (mp3, "audio/mpeg"), "wav": (wav, "audio/wav"), "pcm": (pcm, "audio/pcm")}
_PIECE = 4096  # bytes


def _speak(request: PlainRequest) -> Told:
    text = text_field(request.params, "input")
    text_field(request.params, "model")
    kind = request.params.get("response_format") or "mp3"
    if kind not in _FORMATS:
        made = ", ".join(map(repr, _FORMATS))
        raise BadRequestError(f"'response_format' is {brief(kind)}, but only {made} are made here")
    make, content_type = _FORMATS[kind]
    sound = make(text)
    pieces = [sound[place : place + _PIECE] for place in range(0, len(sound), _PIECE)]
    if request.framing is not None:
        return told_events("sse", _events(text, pieces))
    return Told(pieces=tuple(pieces), content_type=content_type, streamed=True)


def _events(text: str, pieces: list[bytes]) -> Iterator[Event]:
    for piece in pieces:
        yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()})
    words, tokens = len(text.split()), len(pieces)
    usage = {"input_tokens": words, "output_tokens": tokens, "total_tokens": words + tokens}
    yield _event({"type": "speech.audio.done", "usage": usage})


def _event(said: Json) -> Event:
    return Event(json_text(said))


def _framing(body: Json) -> Framing | None:
    return "sse" if body.get("stream_format") == "sse" else None


ENDPOINTS = (
    PlainEndpoint(
        "openai",
        "POST …/audio/speech",
        None,
        _speak,
        streams=_framing,
        says="audio/mpeg",
        tells="MP3 (silence), WAV or PCM (a tone), 0.3 s for each word; streamed, also as events",
    ),
)
