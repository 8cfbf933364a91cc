"""Reads legacy completions in OpenAI's format, in whatever dialect: the twin of ``formats.openai_completions``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

from pytest_mockstream.wire.completion_heard import (
    error_step,
    first_choice,
    is_error,
    object_of,
    text_of,
    told_error,
    usage_in,
)
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece
from pytest_mockstream.wire.dialect import Dialect
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Decoder:
    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def event(self, event: Event) -> Iterator[Heard]:
        if event.data != "[DONE]":
            yield from _heard(json.loads(event.data), dialect=self._dialect)


def _heard(body: Any, *, dialect: Dialect) -> Iterator[Heard]:
    """Yield what a frame says, or a whole body: they are alike."""
    body = object_of(body)
    if is_error(body):
        yield error_step(body, dialect)
        return
    if "choices" not in body and any(usage_in(body)):
        yield from usage_in(body)
        return
    if (choice := first_choice(body)) is not None:
        text, finish = text_of(choice.get("text")), text_of(choice.get("finish_reason"))
        if text or not finish:
            yield Piece(kind="text", text=text)
        if finish:
            yield Finish(finish)
    yield from usage_in(body)


def decoding(dialect: Dialect) -> Decoding:
    """Return how completions are read in a dialect."""
    return Decoding(stream=partial(_Decoder, dialect), whole=partial(_heard, dialect=dialect), error=told_error)
