"""Reads what Ollama says: the twin of ``formats.ollama``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.script.chunks import Usage
from pytest_mockstream.script.steps import ErrorEvent, KeepAlive
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line


class _Decoder:
    def __init__(self) -> None:
        self._calls = 0

    def event(self, event: Event) -> Iterator[Heard]:
        line = json.loads(event.data)
        heard = list(self._line(line))
        if not heard:  # the encoder's ping is such a line
            heard = [KeepAlive()]
        yield from heard

    def _line(self, line: Mapping[str, Any]) -> Iterator[Heard]:
        if "error" in line:
            yield ErrorEvent(_error(line)[0])
            return
        for piece in _pieces(line):
            if piece.kind == "tool_call":
                yield piece._replace(call=self._calls)
                self._calls += 1
            else:
                yield piece
        if line.get("done"):
            yield from _end(line)


def _pieces(line: Mapping[str, Any]) -> Iterator[Piece]:
    message = line["message"] if "message" in line else {**line, "content": line["response"]}
    if thought := message.get("thinking"):
        yield Piece(kind="reasoning", text=thought)
    if text := message.get("content"):
        yield Piece(kind="text", text=text)
    for number, call in enumerate(message.get("tool_calls") or ()):
        function = call["function"]
        arguments = json.dumps(function["arguments"], ensure_ascii=False)
        yield Piece(kind="tool_call", name=function["name"], text=arguments, id=call.get("id") or "", call=number)


def _end(line: Mapping[str, Any]) -> Iterator[Heard]:
    yield Usage(prompt_tokens=line.get("prompt_eval_count") or 0, completion_tokens=line.get("eval_count") or 0)
    yield Finish(line.get("done_reason") or "stop")


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    yield from _pieces(body)
    yield from _end(body)


def _error(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    return str(body["error"]), None, None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error)
