"""Mistral's conversations: started, continued and restarted, streamed or not; a script says what the model answers.

https://docs.mistral.ai/api/endpoint/beta/conversations
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent, Reasoning
from pytest_mockstream.wire.blocks import Block, blocks_of, odd_calls, pieces_of, usage_of
from pytest_mockstream.wire.decoders.mistral_conversations import DECODING
from pytest_mockstream.wire.errors import OPENAI_STATUS, mistral_error
from pytest_mockstream.wire.format import (
    CREATED_TEXT,
    BadRequestError,
    Json,
    Keeping,
    ParsedRequest,
    Reply,
    WireFormat,
    words,
)
from pytest_mockstream.wire.plain import Kept, PlainEndpoint, PlainRequest, Told
from pytest_mockstream.wire.reading import call_of, flag, objects, rest
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_US = "mistral"
_SDK = "user-agent: mistral"
_KIND = "mistral conversation"


def _parse(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    given = body.get("inputs")
    if isinstance(given, str):
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": given}]
    elif isinstance(given, list) or (given is None and groups):
        messages = [_normalised(entry) for entry in objects(body, "inputs")]
    else:
        raise BadRequestError("'inputs' must be text or a list of entries")
    if isinstance(instructions := body.get("instructions"), str) and instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    named = body.get("model") or body.get("agent_id") or ""
    if not isinstance(named, str):
        raise BadRequestError(f"'model' must be text, but it is {brief(named)}")
    return ParsedRequest(
        model=named,
        messages=messages,
        tools=objects(body, "tools"),
        params=rest(body, "model", "inputs", "tools", "stream", "instructions") | dict(groups),
        framing="sse" if flag(body, "stream") else None,
    )


def _normalised(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    kind = entry.get("type", "message.input")
    if kind == "function.result":
        return {"role": "tool", "tool_call_id": entry.get("tool_call_id"), "content": entry.get("result", "")}
    if kind == "function.call":
        call = call_of(entry.get("tool_call_id"), entry.get("name"), entry.get("arguments", ""), {})
        return {"role": "assistant", "content": "", "tool_calls": [call]}
    usual = "assistant" if kind == "message.output" else "user"
    return {"role": entry.get("role", usual), "content": entry.get("content", "")}


def _id(reply: Reply) -> str:
    return str(reply.request.params.get("id") or f"conv_{reply.number}")


def _entry(reply: Reply, index: int, kind: str) -> Json:
    named = {"model": reply.request.model} if "agent_id" not in reply.request.params else {}
    return {"type": kind, "id": f"{'fc' if kind.startswith('function') else 'msg'}_{reply.number}_{index}", **named}


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._index = -1
        self._kind: str | None = None
        self._call: Block | None = None

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            yield _event("conversation.response.started", conversation_id=_id(self._reply))
        if chunk.finish_reason is not None:
            yield _event("conversation.response.done", usage=_usage(chunk.usage or Usage()))
            return
        for piece in pieces_of(chunk):
            yield self._piece(piece)

    def _piece(self, piece: Block) -> Event:
        if piece.kind == "tool_call":
            if self._kind != "tool_call" or piece.id:
                self._begin("tool_call")
                self._call = piece
            assert self._call is not None  # noqa: S101 - the first piece of a call has its name, for mypy
            about = {"name": self._call.name, "tool_call_id": self._call.id, "arguments": piece.text}
            entry = _entry(self._reply, self._index, "function.call.delta")
            return _event(**entry, output_index=self._index, **about)
        if self._kind != "text" or piece.new_block:
            self._begin("text")
        entry = _entry(self._reply, self._index, "message.output.delta")
        return _event(**entry, output_index=self._index, content_index=0, role="assistant", content=piece.text)

    def _begin(self, kind: str) -> None:
        self._index += 1
        self._kind = kind

    def text(self, _text: str) -> None:
        return None

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        code = OPENAI_STATUS.get(error.type or "", 500)  # "type" says which event it is
        return _event("conversation.response.error", message=error.message, code=code)


def _event(type: str, **fields: Any) -> Event:  # noqa: A002 - the field's name
    return Event(json_text({"type": type, "created_at": CREATED_TEXT, **fields}), name=type)


def _usage(usage: Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "connector_tokens": None,
        "connectors": None,
    }


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    outputs = []
    for index, block in enumerate(blocks_of(chunks, refusals_are_text=True)):
        times = {"object": "entry", "created_at": CREATED_TEXT, "completed_at": CREATED_TEXT}
        if block.kind == "tool_call":
            said: Json = {"tool_call_id": block.id, "name": block.name, "arguments": block.text}
            outputs.append(_entry(reply, index, "function.call") | times | said)
        else:
            said = {"role": "assistant", "content": block.text}
            outputs.append(_entry(reply, index, "message.output") | times | said)
    told = {"object": "conversation.response", "conversation_id": _id(reply)}
    return told | {"outputs": outputs, "usage": _usage(usage_of(chunks))}


FORMAT = WireFormat(
    name="Mistral Conversations",
    provider=_US,
    shown="POST …/v1/conversations",
    path=re.compile(r"/v1/conversations(?:/(?P<id>[^/]+)(?:/restart)?)?$"),
    header=_SDK,
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=mistral_error,
    error_status=OPENAI_STATUS,
    finish_reasons=words(stop="stop", length="length", tool_calls="tool_calls", function_call="tool_calls"),
    decoding=DECODING,
    lacks={Reasoning: "its entries are messages and calls"},
    objection=lambda _request, script: odd_calls(script, needs_ids=True),
    keeping=Keeping(
        kind=_KIND,
        prefix="conv_",
        keeps=lambda request: "id" not in request.params and request.params.get("store") is not False,
    ),
)


def _shown(kept: Kept) -> Json:
    asked = kept.request.params
    who = {"agent_id": asked["agent_id"]} if "agent_id" in asked else {"model": kept.request.model}
    about = {name: asked.get(name) for name in ("name", "description", "metadata")}
    times = {"created_at": CREATED_TEXT, "updated_at": CREATED_TEXT}
    return {"object": "conversation", "id": f"conv_{kept.number}", **times, **who, **about}


def _retrieve(request: PlainRequest) -> Json:
    return _shown(request.kept(_KIND, "conversation"))


def _delete(request: PlainRequest) -> Told:
    request.kept(_KIND, "conversation")
    request.store.remove(_KIND, request.groups["id"])
    return Told(status=204)


ENDPOINTS = (
    PlainEndpoint(_US, "GET …/v1/conversations/{id}", None, _retrieve, _SDK, tells="the conversation's data"),
    PlainEndpoint(_US, "DELETE …/v1/conversations/{id}", None, _delete, _SDK, tells="forgets the conversation"),
)
