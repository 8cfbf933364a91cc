"""OpenAI Responses: ``POST {base}/responses``.

Streaming: https://platform.openai.com/docs/api-reference/responses-streaming; the object:
https://platform.openai.com/docs/api-reference/responses/object. Each event has a name and a number, from 0
without a gap, and there is no ``[DONE]``. Reasoning comes as a summary, all that OpenAI's own models show of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from pytest_mockstream.script.chunks import ItemChunk, StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import (
    Citation,
    ErrorEvent,
    Failed,
    Frame,
    Image,
    Interleave,
    Reasoning,
    ServerTool,
)
from pytest_mockstream.wire.blocks import (
    Block,
    OpenBlocks,
    odd_calls,
    pieces_in_turn,
    pieces_of,
    usage_of,
)
from pytest_mockstream.wire.decoders.openai_responses import DECODING
from pytest_mockstream.wire.decoding import Kind
from pytest_mockstream.wire.errors import OPENAI_STATUS, openai_error
from pytest_mockstream.wire.format import (
    CREATED,
    BadRequestError,
    Failures,
    Json,
    Keeping,
    ParsedRequest,
    Reply,
    WireFormat,
    named_event,
    words,
)
from pytest_mockstream.wire.logprobs import probable, top_of
from pytest_mockstream.wire.reading import call_of, content_of, flag, objects, rest, text_field
from pytest_mockstream.wire.response_tools import odd_response_tool, tool_item
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_TAKEN = ("model", "input", "instructions", "tools", "stream", "stream_options")
# The fields of its request that a response repeats, and their values where the request does not set them.
_REPEATED: Json = {
    "background": False,
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
_LOGPROBS = "message.output_text.logprobs"
#: Stands for what OpenAI encrypts, for who keeps nothing there: https://platform.openai.com/docs/guides/reasoning
_ENCRYPTED = "bW9ja3N0cmVhbS1lbmNyeXB0ZWQ="
_BETWEEN_ITEMS = ("response.output_item.added", "response.completed", "response.incomplete", "response.failed")
_TOOLS = ("server_tool", "image")
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
    top_of(body, "top_logprobs")
    instructions = content_of(body.get("instructions") or "")
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
            more = rest(item, "type", "role", "content")
            yield {"role": item.get("role", "user"), "content": item.get("content", ""), **more}
        elif kind == "function_call":
            call = call_of(item.get("call_id"), item.get("name"), item.get("arguments", ""), {})
            more = rest(item, "type", "call_id", "name", "arguments")
            yield {"role": "assistant", "content": "", "tool_calls": [call], **more}
        elif kind == "function_call_output":
            more = rest(item, "type", "call_id", "output")
            content = content_of(item.get("output", ""))
            yield {"role": "tool", "tool_call_id": item.get("call_id"), "content": content, **more}
        else:  # for reasoning, and for tools that the provider runs, the type tells who said it
            yield dict(item) | {"role": "tool" if str(kind).endswith("_output") else "assistant"}


class _Encoder:
    """Numbers the events of a response."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._sequence = 0
        self._output = _Output(reply)

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if _is_mere_text(chunk) and (said := self._output.more_text(chunk.delta)) is not None:
            return (self._event(*said),)
        begun = () if chunk.role is None else self._begun()
        if chunk.finish_reason is not None and not isinstance(chunk.item, Frame):
            return (*begun, *self._finished(chunk.usage or Usage()))
        return (*begun, *(self._event(*said) for piece in pieces_of(chunk) for said in self._output.add(piece)))

    def text(self, text: str) -> None:
        return None  # each event has a number of its own

    def ping(self) -> None:
        return None

    def frame(self, frame: Frame) -> Sequence[Event]:
        """Return a frame of the user's, numbered, after the end of the item that it does not belong to."""
        said = frame.json
        if not isinstance(said, dict):
            return (named_event(frame),)
        before: list[Event] = []
        if said.get("type") in _BETWEEN_ITEMS:
            before += [self._event(*told) for told in self._output.end("completed")]
        if isinstance(item := said.get("item"), dict):
            self._output.take(item, is_new=said["type"] == "response.output_item.added")
        if not isinstance(number := said.get("sequence_number"), int):
            number = self._sequence
            frame = replace(frame, data={**said, "sequence_number": number})
        self._sequence = number + 1
        return (*before, named_event(frame))

    def error(self, error: ErrorEvent) -> Event:
        code = error.code or error.type or "server_error"
        return self._event("error", {"code": code, "message": error.message, "param": None})

    def failed(self, failed: Failed) -> Sequence[Event]:
        """Return the last events of a response that failed or broke off, with all that was said until then."""
        begun = () if self._sequence else self._begun()
        response = _failure(_response(self._reply, self._output.cut_off(), "failed"), failed)
        return (*begun, self._event(f"response.{response['status']}", {"response": response}))

    def _begun(self) -> tuple[Event, ...]:
        begun = {"response": _response(self._reply, [], status="in_progress")}
        return tuple(self._event(f"response.{name}", begun) for name in ("created", "in_progress"))

    def _finished(self, usage: Usage) -> Iterator[Event]:
        status = _status(self._reply)
        for said in self._output.end(status):
            yield self._event(*said)
        response = _response(self._reply, self._output.items, status, usage)
        yield self._event(f"response.{status}", {"response": response})

    def _event(self, name: str, fields: Json) -> Event:
        number, self._sequence = self._sequence, self._sequence + 1
        return Event(json_text({"type": name, **fields, "sequence_number": number}), name=name)


def _is_mere_text(chunk: StreamChunk) -> bool:
    says_more = chunk.reasoning or chunk.refusal or chunk.tool_call or chunk.role or chunk.finish_reason
    return not says_more and not isinstance(chunk, ItemChunk)


#: The name of an event, and its fields.
_Said: TypeAlias = tuple[str, Json]


@dataclass(slots=True)
class _Part:
    """A part of an item that goes on.

    Attributes:
        item: the number of the item.
        kind: what it is.
        value: what gets its text: the part, or the item where there are no parts.
        place: the fields of its events that say where it is.
        texts: what it says so far.
        logprobs: of the texts.
    """

    item: int
    kind: Kind
    value: Json
    place: Json
    texts: list[str] = dataclasses.field(default_factory=list)
    logprobs: list[Json] = dataclasses.field(default_factory=list)


class _Output:
    """Makes the items of a response of its pieces, and tells the events by which a stream says them.

    An item is open until the next begins, but for those whose last piece said that more is to come.

    Attributes:
        items: the items so far; those that are open lack the text of their open part.
    """

    def __init__(self, reply: Reply) -> None:
        self.items: list[Json] = []
        self._reply = reply
        self._blocks = OpenBlocks()
        self._parts: dict[int, _Part] = {}  # those that are open, by the number of the block
        self._open: set[int] = set()  # the numbers of the items that are open
        self._text: _Part | None = None  # the part of text that any further text goes on with
        self._said = 0  # characters in the text parts that are closed

    def add(self, piece: Block) -> Iterator[_Said]:
        """Add what a chunk says."""
        number, is_new, over = self._blocks.place(piece, "text" if piece.kind == "citation" else piece.kind)
        self._text = None
        for one in over:
            yield from self._close_part(one)
        if piece.kind in _TOOLS:
            yield from self._close_items()
            yield from self._run(piece)
            return
        kind: Kind = "text" if piece.kind == "citation" else piece.kind
        if is_new:
            item = None if piece.new_block else self._message_to_continue(kind)
            yield from self._close_items(but=item)
            yield from self._open_part(number, kind, piece, item)
        else:
            yield from self._close_items(but=self._parts[number].item)
        if piece.kind == "citation":
            yield self._annotate(self._parts[number], piece.step)
        elif not _is_hidden(piece):
            layout, part = _LAYOUTS[kind], self._parts[number]
            part.texts.append(piece.text)
            part.logprobs += (told := _logprobs(self._reply, piece))
            fields = {**part.place, "delta": piece.text, **layout.more, **_without_bytes(told)}
            yield f"response.{layout.event}.delta", fields
        if piece.ends:
            self._seal(self.items[self._parts[number].item], piece)
            yield from self._close_part(number)
        elif kind == "text" and len(self._parts) == 1 and not piece.unfinished and not _wants_logprobs(self._reply):
            self._text = self._parts[number]

    def more_text(self, text: str) -> _Said | None:
        """Add text to the open part of text, and return its event; None unless that is all it does."""
        if self._text is None:
            return None
        self._text.texts.append(text)
        return "response.output_text.delta", {**self._text.place, "delta": text, "logprobs": []}

    def take(self, item: Json, *, is_new: bool) -> None:
        """Keep an item that a frame of the user's brings."""
        if is_new or not self.items:
            self.items.append(item)
        else:
            self.items[-1] = item

    def end(self, status: str) -> Iterator[_Said]:
        """Close what is open; the last item gets the status, all others are completed."""
        self._text = None
        for one in self._blocks.end():
            yield from self._close_part(one)
        yield from self._close_items(status=status)

    def cut_off(self) -> list[Json]:
        """Return the items of a reply that breaks off, with all that was said of those that are open."""
        for part in self._parts.values():
            part.value[_LAYOUTS[part.kind].field] = "".join(part.texts)
        for index in self._open:
            self.items[index]["status"] = "incomplete"
        return self.items

    def _message_to_continue(self, kind: Kind) -> int | None:
        """Return the number of the open message, if it can have one more part: one has all neighbouring texts."""
        last = len(self.items) - 1
        fits = last in self._open and self.items[last]["type"] == "message" and kind in {"text", "refusal"}
        return last if fits else None

    def _open_part(self, number: int, kind: Kind, piece: Block, item: int | None) -> Iterator[_Said]:
        if item is None:
            item = len(self.items)
            self.items.append(_item(self._reply, item, piece, status="in_progress"))
            self._open.add(item)
            yield self._item_event("added", item)
        layout, value = _LAYOUTS[kind], self.items[item]
        if layout.part is not None:
            value = deepcopy(dict(layout.part))
        place = {"item_id": self.items[item]["id"], "output_index": item}
        self._parts[number] = part = _Part(item, kind, value, place)
        if layout.part is not None and not _is_hidden(piece):
            self.items[item][layout.parts].append(value)
            part.place[f"{layout.parts}_index"] = len(self.items[item][layout.parts]) - 1
            yield f"response.{layout.part_event}.added", {**part.place, "part": value}

    def _close_part(self, number: int) -> Iterator[_Said]:
        part = self._parts.pop(number)
        layout, text = _LAYOUTS[part.kind], "".join(part.texts)
        if part.kind == "text":
            self._said += len(text)
        if layout.part is not None and not self.items[part.item][layout.parts]:
            return  # what is hidden has no part
        part.value |= {layout.field: text, **({"logprobs": part.logprobs} if part.logprobs else {})}
        more = {**layout.more, **_without_bytes(part.logprobs)}
        yield f"response.{layout.event}.done", {**part.place, layout.field: text, **more}
        if layout.part is not None:
            yield f"response.{layout.part_event}.done", {**part.place, "part": part.value}

    def _close_items(self, *, but: int | None = None, status: str = "completed") -> Iterator[_Said]:
        busy = {part.item for part in self._parts.values()}
        for index in sorted(self._open - busy - {but}):
            self._open.discard(index)
            self.items[index]["status"] = status if index == len(self.items) - 1 else "completed"
            yield self._item_event("done", index)

    def _item_event(self, name: str, index: int) -> _Said:
        return f"response.output_item.{name}", {"output_index": index, "item": self.items[index]}

    def _annotate(self, part: _Part, source: Citation) -> _Said:
        # Places are counted in the part; those of the script, in the whole text.
        span = {"start_index": (source.start or 0) - self._said, "end_index": (source.end or 0) - self._said}
        made = {"type": "url_citation", **{name: max(0, place) for name, place in span.items()}}
        made |= {"title": source.title, "url": source.url}
        part.value["annotations"].append(made)
        number = len(part.value["annotations"]) - 1
        fields = {**part.place, "annotation_index": number, "annotation": made}
        return "response.output_text.annotation.added", fields

    def _seal(self, item: Json, piece: Block) -> None:
        """Give reasoning its signature, or take it away: here it is all of it, encrypted."""
        item.pop("encrypted_content", None)
        sealed = piece.step.text if piece.step.redacted else piece.step.signature
        if sealed:
            item["encrypted_content"] = sealed

    def _run(self, piece: Block) -> Iterator[_Said]:
        index = len(self.items)
        begun, item, events = tool_item(piece, f"{self._reply.number}_{index}")
        self.items.append(begun)
        yield self._item_event("added", index)
        place = {"item_id": item["id"], "output_index": index}
        for name, fields in events:
            yield f"response.{name}", place | fields
        self.items[index] = item
        yield self._item_event("done", index)


def _is_hidden(piece: Block) -> bool:
    """Tell whether a piece is reasoning that shows nothing: it is redacted, or only ends what was said before it."""
    step = piece.step
    return isinstance(step, Reasoning) and (step.redacted or not (piece.text or step.content))


def _status(reply: Reply) -> str:
    return "incomplete" if reply.finish_reason in _INCOMPLETE else "completed"


def _item(reply: Reply, index: int, block: Block, *, status: str) -> Json:
    """Return an item without its text."""
    name = f"{reply.number}_{index}"
    if block.kind == "tool_call":
        call = {"call_id": block.id, "name": block.name, "arguments": ""}
        return {"id": f"fc_{name}", "type": "function_call", "status": status, **call}
    if block.kind == "reasoning":
        asked = "reasoning.encrypted_content" in (reply.request.params.get("include") or ())
        encrypted = {"encrypted_content": _ENCRYPTED} if asked else {}
        return {"id": f"rs_{name}", "type": "reasoning", "status": status, "summary": [], **encrypted}
    return {"id": f"msg_{name}", "type": "message", "status": status, "role": "assistant", "content": []}


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
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
    }


def _wants_logprobs(reply: Reply) -> bool:
    return _LOGPROBS in (reply.request.params.get("include") or ())


def _logprobs(reply: Reply, piece: Block) -> list[Json]:
    """Return the log probability of a chunk's text, if the request asks for it."""
    if piece.kind != "text" or not piece.text or not _wants_logprobs(reply):
        return []
    return [probable(piece.text, top=top_of(reply.request.params, "top_logprobs"), seed=reply.seed)]


def _without_bytes(told: Sequence[Json]) -> Json:
    """Return log probabilities as events have them, which leave out the bytes of a token; nothing if there are none."""
    if not told:
        return {}
    return {
        "logprobs": [
            {
                "token": one["token"],
                "logprob": one["logprob"],
                "top_logprobs": [{"token": top["token"], "logprob": top["logprob"]} for top in one["top_logprobs"]],
            }
            for one in told
        ]
    }


def _failure(response: Json, failed: Failed) -> Json:
    """Return a response that says that it failed, or that it breaks off."""
    if failed.incomplete is not None:
        return response | {"status": "incomplete", "incomplete_details": {"reason": failed.incomplete}}
    return response | {"error": {"code": failed.code or "server_error", "message": failed.message}}


def _failed_whole(reply: Reply, chunks: Sequence[StreamChunk], failed: Failed) -> Json:
    output = _output_of(reply, chunks)
    return _failure(_response(reply, output.cut_off(), "failed"), failed)


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    output, status = _output_of(reply, chunks), _status(reply)
    for _ in output.end(status):
        pass  # the events of a stream
    return _response(reply, output.items, status, usage_of(chunks))


def _output_of(reply: Reply, chunks: Sequence[StreamChunk]) -> _Output:
    output = _Output(reply)
    for piece in pieces_in_turn(chunk for chunk in chunks if chunk.finish_reason is None):
        for _ in output.add(piece):
            pass  # the events of a stream
    return output


def _objection(_request: ParsedRequest, script: Script) -> str | None:
    return odd_response_tool(script) or odd_calls(script, needs_ids=True)


def _begun(reply: Reply) -> Json | None:
    """Return what a request in the background gets, whose response is retrieved later."""
    return _response(reply, [], status="queued") if reply.request.params.get("background") else None


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
    frame=lambda encoder, frame: encoder.frame(frame),  # of the encoder, or of what filters its events
    objection=_objection,
    extras=(Interleave, ServerTool, Citation, Image),
    has_codes=True,
    failures=Failures(lambda encoder, failed: encoder.failed(failed), _failed_whole),
    garbled="response.output_text.delta",
    keeping=Keeping(
        kind="response",
        prefix="resp_",
        keeps=lambda request: request.params.get("store") is not False,
        begun=_begun,
    ),
    decoding=DECODING,
)
