"""Reads what Cohere says: the twin of ``formats.cohere_chat``.

https://docs.cohere.com/v2/docs/streaming and https://docs.cohere.com/v2/reference/chat. A plan is text here. Citations
have no place in its scripts and are passed over.
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
        self._calls = -1
        self._parts = 0

    def event(self, event: Event) -> Iterator[Heard]:
        if event.data == "[DONE]":
            return
        said = json.loads(event.data)
        kind = said.get("type") or event.name
        delta = said.get("delta") or {}
        if kind == "message-end":
            yield from _end(delta)
            return
        message = delta.get("message") or {}
        match kind:
            case "content-start":
                self._parts += 1
                yield from (piece for piece in _content(message, self._parts) if piece.text)
            case "content-delta":
                yield from _content(message, self._parts)
            case "tool-plan-delta":
                yield Piece(kind="text", text=message["tool_plan"])
            case "tool-call-start":
                self._calls += 1
                yield _call(message)._replace(call=self._calls)
            case "tool-call-delta":
                yield Piece(kind="tool_call", text=_function(message)["arguments"], call=self._calls)


def _content(message: Mapping[str, Any], part: int) -> Iterator[Piece]:
    content = message["content"]
    if (thought := content.get("thinking")) is not None:
        yield Piece(kind="reasoning", text=thought, block=part)
    if (text := content.get("text")) is not None:
        yield Piece(kind="text", text=text, block=part)


def _function(message: Mapping[str, Any]) -> Mapping[str, Any]:
    function: Mapping[str, Any] = message["tool_calls"]["function"]
    return function


def _call(message: Mapping[str, Any]) -> Piece:
    call = message["tool_calls"]
    function = call["function"]
    return Piece(kind="tool_call", id=call["id"], name=function["name"], text=function.get("arguments") or "")


def _end(said: Mapping[str, Any]) -> Iterator[Heard]:
    """Yield what the end of a reply says."""
    reason = said["finish_reason"]
    if said.get("error"):
        yield ErrorEvent(said["error"], type=None if reason == "ERROR" else reason)
        return
    usage = said.get("usage") or {}
    if tokens := usage.get("tokens") or usage.get("billed_units"):
        yield counted(
            prompt_tokens=tokens.get("input_tokens"),
            completion_tokens=tokens.get("output_tokens"),
            cached_tokens=usage.get("cached_tokens"),
        )
    yield Finish(reason)


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    message = body["message"]
    for number, part in enumerate(message.get("content") or ()):
        yield from (piece for piece in _content({"content": part}, number) if piece.text)
    if plan := message.get("tool_plan"):
        yield Piece(kind="text", text=plan)
    for number, call in enumerate(message.get("tool_calls") or ()):
        yield _call({"tool_calls": call})._replace(call=number)
    yield from _end(body)


def _error(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    return body["message"], None, None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error)
