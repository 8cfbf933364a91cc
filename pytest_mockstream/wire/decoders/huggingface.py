"""Reads generated text as TGI says it: the twin of ``formats.huggingface``.

https://github.com/huggingface/text-generation-inference/blob/main/docs/openapi.json has the shapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.completion_heard import is_error, object_of, text_of, told_error
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Decoder:
    def event(self, event: Event) -> Iterator[Heard]:
        body = object_of(json.loads(event.data))
        if is_error(body):
            yield _error_step(body)
            return
        token = object_of(body["token"])
        if not token.get("special"):  # such as the end of the text, which is none of it
            yield Piece(kind="text", text=text_of(token["text"]))
        if body.get("generated_text") is not None or body.get("details") is not None:
            yield from _end(object_of(body.get("details")), usual="eos_token")


def _end(details: Mapping[str, Any], *, usual: str | None) -> Iterator[Heard]:
    if details:
        yield counted(prompt_tokens=details.get("input_length"), completion_tokens=details.get("generated_tokens"))
    if finish := text_of(details.get("finish_reason")) or usual:
        yield Finish(finish)


def _error_step(body: Mapping[str, Any]) -> ErrorEvent:
    message, kind, _ = told_error(body)
    return ErrorEvent(message, type=kind)


def _whole(body: Any) -> Iterator[Heard]:
    body = object_of(body[0] if isinstance(body, list) else body)
    if is_error(body):
        yield _error_step(body)
        return
    text, details = text_of(body["generated_text"]), object_of(body.get("details"))
    tokens = [
        text_of(token["text"]) for token in map(object_of, details.get("tokens") or ()) if not token.get("special")
    ]
    # What comes before the tokens is the prompt. Some servers strip the text, and it is shorter than they.
    joined = "".join(tokens)
    texts = [text.removesuffix(joined), *tokens] if text.endswith(joined) else [text]
    yield from (Piece(kind="text", text=text) for place, text in enumerate(texts) if place or text)
    yield from _end(details, usual=None)


DECODING = Decoding(stream=_Decoder, whole=_whole, error=told_error)
