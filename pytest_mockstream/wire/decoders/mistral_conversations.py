"""Reads what Mistral's conversations say: the twin of ``formats.mistral_conversations``.

https://docs.mistral.ai/api/endpoint/beta/conversations. Thoughts, references, hand-offs and the tools that Mistral runs
have no place in its scripts and are passed over. No event says why the model stops: its calls do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.decoding import Decoding, Finish, Heard, Piece, counted
from pytest_mockstream.wire.sse import Event

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: The type of an error for each status that an event says: its own type is that of the event.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found",
    429: "rate_limit_error",
    503: "server_overloaded",
}


class _Decoder:
    def __init__(self) -> None:
        self._call: tuple[Any, ...] | None = None  # what tells the call that is being heard from others
        self._count = 0

    def event(self, event: Event) -> Iterator[Heard]:
        said = json.loads(event.data)
        kind = said.get("type") or event.name
        if kind == "function.call.delta":
            yield self._fragment(said)
        elif kind == "message.output.delta":
            for text in _texts([said["content"]]):
                yield Piece(kind="text", text=text, block=said.get("output_index"))
        elif kind == "conversation.response.done":
            yield from _end(said, calls=self._count > 0)
        elif kind == "conversation.response.error":
            yield ErrorEvent(said["message"], type=_TYPES.get(said.get("code")))

    def _fragment(self, said: Mapping[str, Any]) -> Piece:
        call = said.get("output_index"), said.get("id"), said["tool_call_id"]
        if call == self._call:
            return Piece(kind="tool_call", text=said["arguments"], call=self._count - 1)
        begun = Piece(
            kind="tool_call", text=said["arguments"], call=self._count, id=said["tool_call_id"], name=said["name"]
        )
        self._call, self._count = call, self._count + 1
        return begun


def _texts(content: Any) -> Iterator[str]:
    """Yield the texts of the parts of a message."""
    for part in content:
        if isinstance(part, str):
            yield part
        elif part["type"] == "text":
            yield part["text"]


def _end(said: Mapping[str, Any], *, calls: bool) -> Iterator[Heard]:
    if usage := said.get("usage"):
        yield counted(prompt_tokens=usage.get("prompt_tokens"), completion_tokens=usage.get("completion_tokens"))
    yield Finish("tool_calls" if calls else "stop")


def _whole(body: Mapping[str, Any]) -> Iterator[Heard]:
    calls = 0
    for number, entry in enumerate(body["outputs"]):
        if entry["type"] == "function.call":
            given = entry["arguments"]
            arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
            yield Piece(kind="tool_call", text=arguments, call=calls, id=entry["tool_call_id"], name=entry["name"])
            calls += 1
        elif entry["type"] == "message.output":
            content = entry["content"]
            for text in _texts([content] if isinstance(content, str) else content):
                yield Piece(kind="text", text=text, block=number)
    yield from _end(body, calls=calls > 0)


def _error(body: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """Return what an error says; that of a request that is not valid is a list of what is wrong."""
    message = body["message"] if "message" in body else body["detail"]
    return message if isinstance(message, str) else json.dumps(message), body.get("type"), None


DECODING = Decoding(stream=_Decoder, whole=_whole, error=_error)
