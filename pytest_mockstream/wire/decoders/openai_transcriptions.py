"""Reads what OpenAI heard in audio: the twin of ``formats.openai_transcriptions``.

https://platform.openai.com/docs/api-reference/audio. Languages, speakers, segments and their times are made up of the
text where a script is played, and are passed over.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_TIMES = re.compile(r"[\d:]+[.,]\d{3} --> [\d:]+[.,]\d{3}")


class _Decoder:
    def __init__(self) -> None:
        self._has_text = False

    def event(self, event: Event) -> Iterator[Heard]:
        if event.data == "[DONE]":
            return
        said = json.loads(event.data)
        kind = said.get("type") or event.name
        if kind == "transcript.text.delta":
            self._has_text = True
            yield Piece(kind="text", text=said["delta"])
        elif kind == "transcript.text.done":
            yield from _end(said) if self._has_text else _whole(said)
        elif error := said.get("error"):
            message, kind, code = _error({"error": error})
            yield ErrorEvent(message, type=kind, code=code)


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    if text := body["text"]:
        yield Piece(kind="text", text=text)
    yield from _end(body)


def _end(said: Mapping[str, Any]) -> Iterator[Heard]:
    """Yield what the end says; of older models it says seconds, and no tokens."""
    usage = said.get("usage") or {}
    if usage.get("type") == "tokens":
        yield counted(
            prompt_tokens=usage.get("input_tokens"),
            completion_tokens=usage.get("output_tokens"),
            prompt_audio_tokens=(usage.get("input_token_details") or {}).get("audio_tokens"),
        )
    yield Finish("stop")


def _text(body: str) -> Iterator[Heard]:
    """Yield what a body says that is no JSON: bare text, or subtitles, of which only their text counts."""
    blocks = [block.split("\n") for block in re.split(r"\n{2,}", body.replace("\r\n", "\n").strip("\n"))]
    if any(_TIMES.match(line) for lines in blocks for line in lines[:2]) or body.startswith("WEBVTT"):
        said = " ".join(line for lines in blocks for line in _said(lines))
    else:
        said = body.removesuffix("\n")
    if said:
        yield Piece(kind="text", text=said)
    yield Finish("stop")


def _said(lines: list[str]) -> list[str]:
    """Return what a block of subtitles says: what comes behind the line with its times."""
    return next((lines[place + 1 :] for place, line in enumerate(lines[:2]) if _TIMES.match(line)), [])


def _error(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    error = body["error"]
    if isinstance(error, str):
        return error, None, None
    kind, code = (said if isinstance(said, str) else None for said in (error.get("type"), error.get("code")))
    return error["message"], kind, code


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error, text=_text)
