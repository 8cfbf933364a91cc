"""Amazon Bedrock: ``POST {base}/model/M/converse`` and ``/converse-stream``, and Nova's ``/invoke``, which is alike.

API: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html; tokens of the cache:
https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html; Nova's own requests:
https://docs.aws.amazon.com/nova/latest/userguide/complete-request-schema.html. A model is named by an id, an inference
profile or an ARN (https://docs.aws.amazon.com/bedrock/latest/userguide/models-supported.html).
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import ErrorEvent
from pytest_mockstream.wire.bedrock import BEDROCK_STATUS, bedrock_error, bedrock_event, invocation_metrics
from pytest_mockstream.wire.blocks import (
    Block,
    arguments_of,
    blocks_of,
    broken_whole_arguments,
    odd_calls,
    pieces_of,
    signature_of,
    usage_of,
)
from pytest_mockstream.wire.decoders.bedrock import DECODING
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.plain import PlainEndpoint
from pytest_mockstream.wire.reading import call_of, content_of, joined_text, objects, rest
from pytest_mockstream.wire.sse import Event, Framing, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_STREAMS: dict[str, Framing] = {"converse-stream": "aws", "invoke-with-response-stream": "aws-chunks"}
_LATENCY = {"latencyMs": 1}
_PROSE = ("text", "refusal")  # both are text here


def _parse(body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
    for name in ("modelId", "stream"):
        if name in body:
            raise BadRequestError(f"there is no field {name!r}: the path says it")
    system = content_of(objects(body, "system"))
    messages: list[Mapping[str, Any]] = [{"role": "system", "content": system}] if system else []
    for message in objects(body, "messages", required=True):
        messages.extend(_normalised(message))
    offered = body.get("toolConfig") or {}
    more = rest(offered, "tools")
    return ParsedRequest(
        model=groups["model"],
        messages=messages,
        tools=objects(offered, "tools"),
        params=rest(body, "messages", "system", "toolConfig") | ({"toolConfig": more} if more else {}),
        framing=_STREAMS.get(groups["call"]),
    )


def _normalised(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Split a message: results of tools come inside the user's messages, and become messages of their own."""
    parts = objects(message, "content", required=True)
    results = [part for part in parts if "toolResult" in part]
    calls = [part for part in parts if "toolUse" in part]
    said = [part for part in parts if "toolResult" not in part and "toolUse" not in part]
    for part in results:
        result = part["toolResult"]
        more = rest(result, "toolUseId", "content") | rest(part, "toolResult")
        yield {"role": "tool", "tool_call_id": result.get("toolUseId"), "content": _result(result), **more}
    spoken = {"role": message.get("role", "user"), "content": said, **rest(message, "role", "content")}
    if calls:
        yield spoken | {"content": content_of(said), "tool_calls": list(map(_call, calls))}
    elif said or not results:
        yield spoken


def _result(result: Mapping[str, Any]) -> Any:
    """Return what a tool gave: JSON as its text, as most formats have it; what is more than that, as it is."""
    parts = objects(result, "content")
    if all(part.keys() in ({"text"}, {"json"}) for part in parts):
        return "".join(
            joined_text(part) if "text" in part else json.dumps(part["json"], ensure_ascii=False) for part in parts
        )
    return parts


def _call(part: Mapping[str, Any]) -> Json:
    call = part["toolUse"]
    more = rest(call, "toolUseId", "name", "input") | rest(part, "toolUse")
    return call_of(call.get("toolUseId"), call.get("name"), call.get("input"), more)


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._open: Block | None = None
        self._index = -1

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        return tuple(self._events(chunk))

    def _events(self, chunk: StreamChunk) -> Iterator[Event]:
        if chunk.role is not None:
            yield self._event("messageStart", role="assistant")
        if chunk.finish_reason is not None:
            yield from self._finish(chunk.usage or Usage())
            return
        for piece in pieces_of(chunk):
            yield from self._piece(piece)

    def _piece(self, piece: Block) -> Iterator[Event]:
        if self._open is None or piece.begins or not _same_block(self._open, piece):
            yield from self._close()
            self._index += 1
            if piece.kind == "tool_call":
                yield self._in_block(
                    "contentBlockStart", start={"toolUse": {"toolUseId": piece.id, "name": piece.name}}
                )
        self._open = piece
        yield self._in_block("contentBlockDelta", delta=_delta(piece))
        if piece.ends:
            yield from self._close()

    def text(self, text: str) -> Event | None:
        if self._open is None or self._open.kind not in _PROSE:
            return None
        return self._in_block("contentBlockDelta", delta={"text": text})

    def ping(self) -> Event | None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return bedrock_event(error)

    def _close(self) -> Iterator[Event]:
        if self._open is None:
            return
        if self._open.kind == "reasoning" and (signature := signature_of(self._open)):
            yield self._in_block("contentBlockDelta", delta={"reasoningContent": {"signature": signature}})
        yield self._in_block("contentBlockStop")
        self._open = None

    def _finish(self, usage: Usage) -> Iterator[Event]:
        yield from self._close()
        yield self._event("messageStop", stopReason=self._reply.finish_reason)
        yield self._event("metadata", usage=_usage(usage), metrics=_LATENCY)

    def _in_block(self, name: str, **fields: Any) -> Event:
        return self._event(name, **fields, contentBlockIndex=self._index)

    def _event(self, name: str, **fields: Any) -> Event:
        return Event(json_text(fields), name)


class _NovaEncoder(_Encoder):
    """Has the events of Converse as the payload of chunks, which have no name of their own."""

    def _finish(self, usage: Usage) -> Iterator[Event]:
        *events, _ = super()._finish(usage)
        yield from events
        metadata = {"usage": _usage_of_nova(usage), "metrics": {}}
        yield Event(json_text({"metadata": metadata, **invocation_metrics(usage)}))

    def _event(self, name: str, **fields: Any) -> Event:
        return Event(json_text({name: fields}))


def _same_block(one: Block, other: Block) -> bool:
    return (one.kind == other.kind and one.index == other.index) or (one.kind in _PROSE and other.kind in _PROSE)


def _delta(piece: Block) -> Json:
    if piece.kind == "tool_call":
        return {"toolUse": {"input": piece.text}}
    if piece.redacted:
        return {"reasoningContent": _redacted(piece)}
    if piece.kind == "reasoning":
        return {"reasoningContent": {"text": piece.text}}
    return {"text": piece.text}


def _redacted(block: Block) -> Json:
    """Return reasoning that is redacted: bytes, which are Base64 in JSON."""
    return {"redactedContent": b64encode(block.step.text.encode(errors="replace")).decode()}


def _reasoning(block: Block) -> Json:
    if block.redacted:
        return _redacted(block)
    signature = signature_of(block)
    return {"reasoningText": {"text": block.text, **({"signature": signature} if signature else {})}}


def _usage(usage: Usage, *, cached: str = "Tokens") -> Json:
    """Return the tokens as Bedrock counts them: those of the cache are beside the input, and only where there are any.

    Args:
        usage: the tokens.
        cached: how the names of those of the cache end, which Nova's own replies have otherwise than Converse.
    """
    of_cache = {f"cacheReadInput{cached}": usage.cached_tokens, f"cacheWriteInput{cached}": usage.cache_write_tokens}
    return {
        "inputTokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "outputTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
        **{name: count for name, count in of_cache.items() if count},
    }


def _usage_of_nova(usage: Usage) -> Json:
    return _usage(usage, cached="TokenCount")


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    content: list[Json] = []
    for block in blocks_of(chunks, refusals_are_text=True):
        if block.kind == "tool_call":
            call = {"toolUseId": block.id, "name": block.name, "input": arguments_of(block.text)}
            content.append({"toolUse": call})
        elif block.kind == "reasoning":
            content.append({"reasoningContent": _reasoning(block)})
        else:
            content.append({"text": block.text})
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reply.finish_reason,
        "usage": _usage(usage_of(chunks)),
        "metrics": _LATENCY,
    }


def _whole_of_nova(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    return rest(_whole(reply, chunks), "metrics") | {"usage": _usage_of_nova(usage_of(chunks))}


def _objection(request: ParsedRequest, script: Script) -> str | None:
    return broken_whole_arguments(request, script) or odd_calls(script, needs_ids=True)


def _refused(request: ParsedRequest) -> Json:
    raise BadRequestError(
        f"the requests of {request.model!r} are not spoken here. Spoken are those of Anthropic, Amazon Nova and Titan"
        " Text, Meta Llama, Mistral ('prompt') and Cohere Command R; Converse and ConverseStream are the same for every"
        " model"
    )


_FINISH_REASONS = words(
    "stop_sequence",
    "guardrail_intervened",
    "model_context_window_exceeded",
    stop="end_turn",
    length="max_tokens",
    tool_calls="tool_use",
    content_filter="content_filtered",
    function_call="tool_use",
)
_INVOKE = r"/(?P<call>invoke|invoke-with-response-stream)$"

CONVERSE = WireFormat(
    name="Bedrock Converse",
    provider="bedrock",
    shown="POST …/model/M/converse and /converse-stream",
    path=re.compile(r"/model/(?P<model>.+)/(?P<call>converse|converse-stream)$"),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=bedrock_error,
    error_status=BEDROCK_STATUS,
    finish_reasons=_FINISH_REASONS,
    objection=_objection,
    decoding=DECODING,
    garbled="contentBlockDelta",
)
NOVA = WireFormat(
    name="Bedrock InvokeModel of Nova",
    provider="bedrock",
    shown="POST …/model/M/invoke and /invoke-with-response-stream",
    path=re.compile(r"/model/(?P<model>(?:.*\b)?amazon\.nova-(?!canvas|reel|sonic)[^/]+)" + _INVOKE),
    parse=_parse,
    encoder=_NovaEncoder,
    whole=_whole_of_nova,
    error=bedrock_error,
    error_status=BEDROCK_STATUS,
    finish_reasons=_FINISH_REASONS,
    objection=_objection,
    decoding=DECODING,
    garbled="chunk",
)
#: Comes after all that know the requests of a model.
NOT_SPOKEN = PlainEndpoint(
    "bedrock", "POST …/model/M/invoke", re.compile(r"/model/(?P<model>.+)/invoke(?:-with-response-stream)?$"), _refused
)
