"""Reads what Mistral heard in audio: the twin of ``formats.mistral_transcriptions``.

https://docs.mistral.ai/api/endpoint/audio/transcriptions. Languages, segments and their times are made up of the text
where a script is played, and are passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Decoder:
    def __init__(self) -> None:
        self._has_text = False

    def event(self, event: Event) -> Iterator[Heard]:
        said = json.loads(event.data)
        kind = said.get("type") or event.name
        if kind == "transcription.text.delta":
            self._has_text = True
            yield Piece(kind="text", text=said["text"])
        elif kind == "transcription.done":
            yield from _end(said) if self._has_text else _whole(said)
        elif said.get("object") == "error":
            yield ErrorEvent(said["message"], type=said.get("type"))


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    if text := body["text"]:
        yield Piece(kind="text", text=text)
    yield from _end(body)


def _end(said: Mapping[str, Any]) -> Iterator[Heard]:
    if usage := said.get("usage"):
        yield counted(prompt_tokens=usage.get("prompt_tokens"), completion_tokens=usage.get("completion_tokens"))
    yield Finish("stop")


def _error(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return what an error says; that of a request that is not valid is a list of what is wrong."""
    message = body["message"] if "message" in body else body["detail"]
    return message if isinstance(message, str) else json.dumps(message), body.get("type"), None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error)
