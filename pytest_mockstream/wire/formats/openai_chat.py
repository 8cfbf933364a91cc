"""OpenAI Chat Completions: ``POST {base}/chat/completions``, in OpenAI's own dialect and in those of other providers.

Streaming: https://platform.openai.com/docs/api-reference/chat-streaming; the object:
https://platform.openai.com/docs/api-reference/chat/object. ``dialects`` has what each provider says in its own way.
Reasoning is nowhere in what OpenAI documents; for lack of a better name, it is in ``reasoning_content`` there. Mistral
completes code, and lets agents speak, at paths of their own, and answers as for a chat:
https://docs.mistral.ai/api/#tag/fim, https://docs.mistral.ai/api/#tag/agents.

Each of several choices (``n``) says the whole script: chunk by chunk, one choice after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import Citation, ErrorEvent, Image, Interleave, Refusal, Together
from pytest_mockstream.wire.blocks import Block, blocks_of, pieces_of, sealed_reasoning, usage_of
from pytest_mockstream.wire.completion_replies import for_all, told_error, told_usage
from pytest_mockstream.wire.completion_requests import agent, chat, code
from pytest_mockstream.wire.decoders.openai_chat import decoding
from pytest_mockstream.wire.dialect import Dialect
from pytest_mockstream.wire.dialects import DIALECTS
from pytest_mockstream.wire.errors import OPENAI_STATUS
from pytest_mockstream.wire.format import CREATED, Json, Reply, WireFormat
from pytest_mockstream.wire.logprobs import probable, top_of
from pytest_mockstream.wire.reading import choices_of
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_FIELDS = {"text": "content", "refusal": "refusal"}
_NO_REASON = "Provider returned error"
_REFUSES = "has no field for refusals, its models refuse in plain text"
_THINKS, _HAS_THOUGHT = "<think>", "</think>"


class _Encoder:
    """Remembers what a dialect says of earlier chunks: whether there were any, and all that they said."""

    def __init__(self, dialect: Dialect, reply: Reply) -> None:
        self._dialect = dialect
        self._reply = reply
        self._frame = _head(dialect, reply, "chat.completion.chunk")
        self._choices = range(choices_of(reply.request.params))
        self._says_usage = dialect.usage_in != "own chunk, if asked" or reply.request.include_usage
        self._nulls: Json = {"usage": None} if dialect.null_usage and self._says_usage else {}
        self._role: Json = {}
        self._is_thinking = False
        self._said: list[str] = []
        self._count = 0
        # Whether all chunks of text differ in their text only. A dialect that marks thoughts in the text says its usage
        # in each chunk, so no mark is lost.
        self._same = len(self._choices) == 1 and not _wants_logprobs(reply) and dialect.usage_in != "each chunk"

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        if self._same and chunk.role is None and chunk.finish_reason is None:  # as most chunks are
            return tuple(self._delta(0, self._delta_of(pieces)) for pieces in (pieces_of(chunk),) if pieces)
        return tuple(self._events(chunk))

    def text(self, text: str) -> Event | None:
        if not self._same:
            return None
        return self._delta(0, self._with_role({"content": text}))

    def ping(self) -> str:
        return self._dialect.comment

    def error(self, error: ErrorEvent) -> Event:
        body = told_error(self._dialect, 500, error.message, error.type, error.code)
        if not self._dialect.error_ends_choice:
            return Event(json_text(body))
        choice = self._choice(0, self._dialect.closing, "error")
        return Event(json_text(self._frame | body | {"choices": [choice]}))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            yield from self._begin(chunk.role)
        if chunk.finish_reason is not None:
            yield from self._finish(chunk.usage or Usage())
            return
        self._count += 1
        if not (pieces := pieces_of(chunk)):
            return
        delta = self._delta_of(pieces)
        said: dict[str, Any] = _logprobs(self._reply, [chunk])
        for index in self._choices:
            yield self._delta(index, delta, **said)

    def _begin(self, role: str) -> Iterator[Event]:
        self._role = {"role": role}
        if self._dialect.prelude is not None:
            yield Event(json_text(self._dialect.prelude))
        self._frame |= self._dialect.first
        if self._dialect.opening is not None:
            opening = self._with_role(self._dialect.opening)
            yield from (self._delta(index, opening) for index in self._choices)

    def _with_role(self, delta: Json) -> Json:
        role = self._role
        if not self._dialect.role_in_each:
            self._role = {}
        return role | delta

    def _delta_of(self, pieces: Sequence[Block]) -> Json:
        delta: Json = {}
        for piece in pieces:
            think = ""
            if self._dialect.reasoning == "<think>" and (piece.kind == "reasoning") != self._is_thinking:
                think = _HAS_THOUGHT if self._is_thinking else _THINKS
                self._is_thinking = not self._is_thinking
            said = _delta_of(self._dialect, piece, think=think)
            if "content" in delta and "content" in said:  # reasoning and text, which this dialect has in one field
                said["content"] = _content_with(delta["content"], said["content"])
            delta |= said
        return self._with_role(delta)

    def _finish(self, usage: Usage) -> Iterator[Event]:
        reply, dialect = self._reply, self._dialect
        if dialect.error_ends_choice and reply.finish_reason == "error":
            yield self.error(ErrorEvent(_NO_REASON))
            return
        told = told_usage(dialect, for_all(reply, usage, len(self._choices)))
        if self._is_thinking:
            thought = self._with_role({"content": _HAS_THOUGHT})
            yield from (self._delta(index, thought) for index in self._choices)
        closing = self._with_role(dialect.closing)
        for index in self._choices:
            is_last = index == self._choices[-1]
            more = dialect.last(told) if is_last else {}
            if is_last and dialect.usage_in in {"last chunk", "each chunk"}:
                more |= {"usage": told}
            yield self._delta(index, closing, reply.finish_reason, more)
        if self._says_usage and dialect.usage_in in {"own chunk, if asked", "own chunk"}:
            choices = [self._choice(0, closing, None)] if dialect.usage_has_choice else []
            yield Event(json_text(self._frame | {"choices": choices, "usage": told}))
        yield Event("[DONE]")

    def _delta(
        self, index: int, delta: Json, finish_reason: str | None = None, more: Json | None = None, **said: Any
    ) -> Event:
        choice = self._choice(index, delta, finish_reason, **said)
        usage = self._nulls
        if self._dialect.usage_in == "each chunk":
            usage = {"usage": told_usage(self._dialect, self._usage_so_far())}
        event = Event(json_text(self._frame | {"choices": [choice]} | usage | (more or {})))
        for name in self._dialect.first:
            self._frame.pop(name, None)
        return event

    def _usage_so_far(self) -> Usage:
        return Usage(prompt_tokens=self._reply.prompt_tokens, completion_tokens=self._count)

    def _choice(self, index: int, delta: Json, finish_reason: str | None, **said: Json) -> Json:
        if self._dialect.cumulative:
            if index == 0:
                self._said.append(delta.get("content") or "")
            said["message"] = {"role": "assistant", "content": "".join(self._said)}
        return _choice(self._dialect, index, finish_reason, delta=delta, **said)


def _head(dialect: Dialect, reply: Reply, kind: str) -> Json:
    head = {"id": f"{dialect.id_prefix}{reply.number}", "object": kind, "created": CREATED}
    return head | {"model": reply.request.model} | dialect.head | _service_tier(dialect, reply)


def _service_tier(dialect: Dialect, reply: Reply) -> Json:
    asked = reply.request.params.get("service_tier")
    return {"service_tier": asked} if "service_tier" in dialect.head and asked not in {None, "auto"} else {}


def _choice(dialect: Dialect, index: int, finish_reason: str | None, **said: Json) -> Json:
    logprobs = {"logprobs": None} if dialect.null_logprobs else {}
    choice = {"index": index, **logprobs, **said, "finish_reason": finish_reason}
    return choice | dialect.choice(choice)


def _delta_of(dialect: Dialect, piece: Block, *, think: str = "") -> Json:
    """Return what a piece adds to a message; ``think`` is a mark that comes before it in the text."""
    if piece.kind == "text":
        return {"content": think + piece.text}
    if piece.kind == "reasoning":
        return _reasoning(dialect, piece, think=think)
    return {"content": think} | _beside_text(dialect, piece) if think else _beside_text(dialect, piece)


def _beside_text(dialect: Dialect, piece: Block) -> Json:
    """Return what a piece adds to a message that has a field of its own there."""
    if piece.kind == "tool_call":
        return {"tool_calls": [_call_delta(dialect, piece)]}
    if piece.kind == "citation":
        return {"annotations": [_annotation(piece.step)]}
    if piece.kind == "image":
        return {"images": [_image(piece.step)]}
    return {_FIELDS[piece.kind]: piece.text}


def _content_with(content: list[Json] | str | None, text: str) -> list[Json] | str:
    """Return the content of a delta with text behind it: it has parts where reasoning is one, and may be null."""
    if isinstance(content, list):
        return [*content, _text_part(text)]
    return (content or "") + text


def _call_delta(dialect: Dialect, piece: Block) -> Json:
    call: Json = _call(piece) if piece.name else {"function": {"arguments": piece.text}}
    if piece.null:
        call["function"]["arguments"] = None
    elif piece.name and dialect.name_first and not piece.text:
        call["function"].pop("arguments")
    return {"index": piece.index, **call}


def _reasoning(dialect: Dialect, piece: Block, *, think: str) -> Json:
    if dialect.reasoning == "<think>":
        return {"content": think + piece.text}
    if dialect.reasoning == "thinking parts":
        return {"content": [_thinking(piece.text)]}
    return {**dialect.beside_reasoning, dialect.reasoning: piece.text, **_details(dialect, piece.text)}


def _thinking(text: str) -> Json:
    return {"type": "thinking", "thinking": [_text_part(text)]}


def _text_part(text: str) -> Json:
    return {"type": "text", "text": text}


def _details(dialect: Dialect, text: str) -> Json:
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
    return {"reasoning_details": [detail]} if dialect.reasoning_details else {}


def _annotation(source: Citation) -> Json:
    span = {"start_index": source.start, "end_index": source.end}
    return {"type": "url_citation", "url_citation": {**span, "title": source.title, "url": source.url}}


def _image(image: Image) -> Json:
    """Return an image as OpenRouter has it: https://openrouter.ai/docs/features/multimodal/image-generation."""
    return {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data!s}"}}


def _call(block: Block) -> Json:
    named = {"id": block.id} if block.id else {}
    return {**named, "type": "function", "function": {"name": block.name, "arguments": block.text}}


def _wants_logprobs(reply: Reply) -> bool:
    return bool(reply.request.params.get("logprobs"))


def _logprobs(reply: Reply, chunks: Sequence[StreamChunk]) -> dict[str, Json]:
    """Return the log probabilities of all text in chunks, as a field of a choice; nothing where none are asked for."""
    if not _wants_logprobs(reply):
        return {}
    top = top_of(reply.request.params, "top_logprobs")
    pieces = [piece for chunk in chunks for piece in pieces_of(chunk)]
    told = {
        name: [probable(piece.text, top=top, seed=reply.seed) for piece in pieces if piece.kind == kind and piece.text]
        for kind, name in _FIELDS.items()
    }
    return {"logprobs": {name: tokens or None for name, tokens in told.items()}} if any(told.values()) else {}


def _whole(dialect: Dialect, reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    blocks = blocks_of(chunks, has_signatures=False, has_borders=dialect.reasoning == "thinking parts")
    said: Json = {"message": _message(dialect, blocks), **_logprobs(reply, chunks)}
    if dialect.cumulative:
        said["delta"] = {"role": "assistant", "content": ""}
    if dialect.error_ends_choice and reply.finish_reason == "error":
        said |= told_error(dialect, 502, _NO_REASON, None)
    count = choices_of(reply.request.params)
    choices = [_choice(dialect, index, reply.finish_reason, **said) for index in range(count)]
    told = told_usage(dialect, for_all(reply, usage_of(chunks), count))
    return _head(dialect, reply, "chat.completion") | {"choices": choices, "usage": told} | dialect.whole(told)


def _message(dialect: Dialect, blocks: Sequence[Block]) -> Json:
    message: Json = {"role": "assistant", "content": None, **({"refusal": None} if dialect.refusals else {})}
    for block in blocks:
        if block.kind == "tool_call":
            number = {"index": block.index} if dialect.numbers_calls else {}
            message.setdefault("tool_calls", []).append(number | _call(block))
        elif block.kind == "image":
            message.setdefault("images", []).append(_image(block.step))
        else:
            if block.citations:
                message.setdefault("annotations", []).extend(map(_annotation, block.citations))
            name, said = _said(dialect, block)
            message[name] = said if message.get(name) is None else message[name] + said
    if "reasoning" in message:
        message |= _details(dialect, message["reasoning"])
    if message["content"] is None and message.get("refusal") is None and "tool_calls" not in message:
        message["content"] = ""
    if message.pop("thinking parts", None) is not None:
        message["content"] = [_part(block) for block in blocks if block.kind in {"reasoning", "text"}]
    return message


def _said(dialect: Dialect, block: Block) -> tuple[str, str]:
    """Return the field of a message that has the text of a block, and what it says there."""
    if block.kind != "reasoning":
        return _FIELDS[block.kind], block.text
    if dialect.reasoning == "<think>":
        return "content", f"{_THINKS}{block.text}{_HAS_THOUGHT}"
    return dialect.reasoning, block.text


def _part(block: Block) -> Json:
    return _thinking(block.text) if block.kind == "reasoning" else _text_part(block.text)


def _format(dialect: Dialect, dialects: Mapping[str, WireFormat]) -> WireFormat:
    return WireFormat(
        name=f"{dialect.title} Chat Completions",
        provider="openai",
        shown="POST …/chat/completions",
        path=re.compile(r"(?:/deployments/(?P<model>[^/]+))?/chat/completions$"),
        parse=chat,
        encoder=partial(_Encoder, dialect),
        whole=partial(_whole, dialect),
        error=partial(told_error, dialect),
        error_status=OPENAI_STATUS,
        finish_reasons=dialect.finish_reasons,
        objection=lambda _request, script: sealed_reasoning(script),
        lacks={} if dialect.refusals else {Refusal: f"{dialect.title} {_REFUSES}"},
        whole_calls=dialect.whole_calls,
        extras=(Interleave, Together, Citation, Image),
        has_codes=dialect.has_codes,
        plain_frames=("[DONE]",),
        dialects=dialects,
        decoding=decoding(dialect),
    )


_FORMATS: dict[str, WireFormat] = {}
_FORMATS |= {provider: _format(dialect, _FORMATS) for provider, dialect in DIALECTS.items()}
FORMAT = _FORMATS["openai"]

_MISTRAL = replace(_FORMATS["mistral"], provider="mistral", dialects={})
#: What only Mistral has, at paths of its own.
OF_MISTRAL = (
    replace(
        _MISTRAL,
        name="Mistral FIM",
        shown="POST …/fim/completions",
        path=re.compile(r"/fim/completions$"),
        parse=code,
    ),
    replace(
        _MISTRAL,
        name="Mistral Agents",
        shown="POST …/agents/completions",
        path=re.compile(r"/agents/completions$"),
        parse=agent,
    ),
)
