"""OpenAI Responses: ``POST {base}/responses``.

Streaming: https://platform.openai.com/docs/api-reference/responses-streaming; the object:
https://platform.openai.com/docs/api-reference/responses/object. Each event has a name and a number, from 0
without a gap, and there is no ``[DONE]``. Reasoning comes as a summary, all that OpenAI's own models show of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.blocks import Block, Kind, blocks_of, piece_of, usage_of
from pytest_mockstream.wire.errors import OPENAI_STATUS, openai_error
from pytest_mockstream.wire.format import CREATED, BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.reading import call_message, flag, joined_text, objects, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

_TAKEN = ("model", "input", "instructions", "tools", "stream", "stream_options")
# The fields of its request that a response repeats, and their values where the request does not set them.
_REPEATED: Json = {
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "top_p": 1.0,
    "truncation": "disabled",
}
_INCOMPLETE = ("max_output_tokens", "content_filter")


@dataclass(frozen=True, slots=True)
class _Layout:
    """How one kind of block is streamed, and where its text is in the item.

    Attributes:
        event: the name of the events with the text, without what comes before and after it.
        field: the field that has the whole text, in the part and in the last of those events.
        part: an empty part; None if items of this kind have no parts, but the field itself.
        part_event: the name of the events of a part, without what comes before and after it.
        parts: the item's list of parts.
        more: further fields of the events with the text.
    """

    event: str
    field: str
    part: Mapping[str, Any] | None = None
    part_event: str = "content_part"
    parts: Literal["content", "summary"] = "content"
    more: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_LAYOUTS: dict[Kind, _Layout] = {
    "text": _Layout(
        event="output_text",
        field="text",
        part={"type": "output_text", "text": "", "annotations": [], "logprobs": []},
        more={"logprobs": []},
    ),
    "refusal": _Layout(event="refusal", field="refusal", part={"type": "refusal", "refusal": ""}),
    "reasoning": _Layout(
        event="reasoning_summary_text",
        field="text",
        part={"type": "summary_text", "text": ""},
        part_event="reasoning_summary_part",
        parts="summary",
    ),
    "tool_call": _Layout(event="function_call_arguments", field="arguments"),
}


def _parse(body: Json, _groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    model = text_field(body, "model")
    instructions = joined_text(body.get("instructions") or "")
    messages: list[Mapping[str, Any]] = [{"role": "system", "content": instructions}] if instructions else []
    given = body.get("input")
    if isinstance(given, str):
        messages.append({"role": "user", "content": given})
    elif given is None and (body.get("previous_response_id") or body.get("prompt") or body.get("conversation")):
        pass  # the provider has stored the conversation
    elif isinstance(given, list):
        messages.extend(_normalised(objects(body, "input", required=True)))
    else:
        raise BadRequestError("'input' must be text or a list of items")
    return ParsedRequest(
        model=model,
        messages=messages,
        tools=objects(body, "tools"),
        params=rest(body, *_TAKEN),
        framing="sse" if flag(body, "stream") else None,
    )


def _normalised(items: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for item in items:
        kind = item.get("type", "message")
        if kind == "message":
            yield {"role": item.get("role", "user"), "content": item.get("content", "")}
        elif kind == "function_call":
            yield call_message("", [(item.get("call_id"), item.get("name"), item.get("arguments", ""))])
        elif kind == "function_call_output":
            output = item.get("output", "")
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": joined_text(output)}
        else:  # for reasoning, and for tools that the provider runs, the type tells who said it
            yield dict(item) | {"role": "tool" if str(kind).endswith("_output") else "assistant"}


class _Encoder:
    """Numbers the events, and collects the items, which the last event repeats."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._sequence = 0
        self._output: list[Json] = []
        self._kind: Kind | None = None
        self._part: Json = {}
        self._text: list[str] = []

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            begun = _response(self._reply, [], status="in_progress")
            yield self._event("response.created", response=begun)
            yield self._event("response.in_progress", response=begun)
        if chunk.finish_reason is not None:
            yield from self._finish(chunk.usage or Usage())
            return
        piece = piece_of(chunk)
        if self._kind != piece.kind or (piece.kind == "tool_call" and piece.id):
            yield from self._close_part()
            yield from self._open_part(piece)
        self._text.append(piece.text)
        layout = _LAYOUTS[piece.kind]
        yield self._event(f"response.{layout.event}.delta", **self._place(layout), delta=piece.text, **layout.more)

    def text(self, text: str) -> None:
        return None  # each event has a number of its own

    def ping(self) -> None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        code = error.type or "server_error"
        return self._event("error", code=code, message=error.message, param=None)

    def _event(self, name: str, **fields: Any) -> Event:
        number, self._sequence = self._sequence, self._sequence + 1
        return Event(json_text({"type": name, **fields, "sequence_number": number}), name=name)

    def _item_event(self, name: str) -> Event:
        return self._event(f"response.output_item.{name}", output_index=len(self._output) - 1, item=self._output[-1])

    def _place(self, layout: _Layout) -> Json:
        item = self._output[-1]
        part = {} if layout.part is None else {f"{layout.parts}_index": len(item[layout.parts]) - 1}
        return {"item_id": item["id"], "output_index": len(self._output) - 1, **part}

    def _open_part(self, piece: Block) -> Iterator[Event]:
        if not _continues(self._output, piece):
            yield from self._close_item("completed")
            self._output.append(_item(self._reply, len(self._output), piece, status="in_progress"))
            yield self._item_event("added")
        layout = _LAYOUTS[piece.kind]
        self._kind, self._part, self._text = piece.kind, _add_part(self._output[-1], piece.kind), []
        if layout.part is not None:
            yield self._event(f"response.{layout.part_event}.added", **self._place(layout), part=self._part)

    def _close_part(self) -> Iterator[Event]:
        if self._kind is None:
            return
        layout, text = _LAYOUTS[self._kind], "".join(self._text)
        place = self._place(layout)
        self._part[layout.field] = text
        yield self._event(f"response.{layout.event}.done", **place, **{layout.field: text}, **layout.more)
        if layout.part is not None:
            yield self._event(f"response.{layout.part_event}.done", **place, part=self._part)

    def _close_item(self, status: str) -> Iterator[Event]:
        if self._output:
            self._output[-1]["status"] = status
            yield self._item_event("done")

    def _finish(self, usage: Usage) -> Iterator[Event]:
        status = _status(self._reply)
        yield from self._close_part()
        yield from self._close_item(status)
        yield self._event(f"response.{status}", response=_response(self._reply, self._output, status, usage))


def _status(reply: Reply) -> str:
    return "incomplete" if reply.finish_reason in _INCOMPLETE else "completed"


def _continues(output: Sequence[Json], block: Block) -> bool:
    """Tell whether a block belongs into the last item: one message has all neighbouring parts of text and refusal."""
    return bool(output) and output[-1]["type"] == "message" and block.kind in {"text", "refusal"}


def _item(reply: Reply, index: int, block: Block, *, status: str) -> Json:
    """Return an item without its text."""
    name = f"{reply.number}_{index}"
    if block.kind == "tool_call":
        call = {"call_id": block.id, "name": block.name, "arguments": ""}
        return {"id": f"fc_{name}", "type": "function_call", "status": status, **call}
    if block.kind == "reasoning":
        return {"id": f"rs_{name}", "type": "reasoning", "status": status, "summary": []}
    return {"id": f"msg_{name}", "type": "message", "status": status, "role": "assistant", "content": []}


def _add_part(item: Json, kind: Kind) -> Json:
    """Add an empty part to an item; return what gets its text: the part, or the item where there are no parts."""
    layout = _LAYOUTS[kind]
    if layout.part is None:
        return item
    part = dict(layout.part)
    item[layout.parts].append(part)
    return part


def _response(reply: Reply, output: list[Json], status: str, usage: Usage | None = None) -> Json:
    request = reply.request
    system = [message["content"] for message in request.messages[:1] if message.get("role") == "system"]
    given = {name: value for name, value in request.params.items() if name in _REPEATED and value is not None}
    return {
        "id": f"resp_{reply.number}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": reply.finish_reason} if status == "incomplete" else None,
        "instructions": system[0] if system else None,
        "model": request.model,
        "output": output,
        "tools": request.tools,
        "usage": None if usage is None else _usage(usage),
        **_REPEATED,
        **given,
    }


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    output: list[Json] = []
    for block in blocks_of(chunks):
        if not _continues(output, block):
            output.append(_item(reply, len(output), block, status="completed"))
        _add_part(output[-1], block.kind)[_LAYOUTS[block.kind].field] = block.text
    status = _status(reply)
    if output:
        output[-1]["status"] = status
    return _response(reply, output, status, usage_of(chunks))


FORMAT = WireFormat(
    name="OpenAI Responses",
    provider="openai",
    shown="POST …/responses",
    path=re.compile(r"/responses$"),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=openai_error,
    error_status=OPENAI_STATUS,
    finish_reasons=words(
        stop="completed",
        length="max_output_tokens",
        tool_calls="completed",
        content_filter="content_filter",
        function_call="completed",
    ),
    garbled="response.output_text.delta",
)
