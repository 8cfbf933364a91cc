"""Gemini: ``POST {base}/v1beta/models/M:generateContent`` and ``:streamGenerateContent``, and Vertex AI's paths.

API: https://ai.google.dev/api/generate-content. With ``?alt=sse`` a stream is an event stream, without it one JSON
array. A function call comes in one piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pytest_mockstream._base.redaction import brief
from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.script import Script
from pytest_mockstream.script.steps import Citation, ErrorEvent, Image, Interleave, Reasoning, ServerTool, Together
from pytest_mockstream.wire.blocks import (
    Block,
    arguments_of,
    blocks_of,
    broken_arguments,
    odd_calls,
    odd_tool,
    pieces_of,
    search_results,
    usage_of,
)
from pytest_mockstream.wire.decoders.gemini import DECODING
from pytest_mockstream.wire.errors import GEMINI_STATUS, gemini_error
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.reading import call_of, content_of, objects, refuse, rest
from pytest_mockstream.wire.sse import Event, Framing, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

_SEARCHES, _CODE = ("web_search",), ("code_execution",)
# What was said is counted at the end.
_NOTHING_YET = {"completion_tokens": 0, "reasoning_tokens": 0, "completion_audio_tokens": 0}
#: Stands for the model's thoughts, and must be sent back: https://ai.google.dev/gemini-api/docs/thought-signatures
SIGNATURE = "bW9ja3N0cmVhbS10aG91Z2h0"


def _parse(body: Json, groups: Mapping[str, str], query: Mapping[str, str]) -> ParsedRequest:
    streaming, alt = groups["method"] == "streamGenerateContent", query.get("alt", "json")
    if alt not in {"sse", "json"}:
        raise BadRequestError(f"'alt' must be 'sse' or 'json', but it is {brief(alt)}")
    if "stream" in body:
        raise BadRequestError("there is no field 'stream': streaming is asked for by ':streamGenerateContent'")
    if alt == "sse" and not streaming:
        raise BadRequestError("'alt=sse' is for ':streamGenerateContent'; ':generateContent' does not stream")
    framing: Framing | None = None if not streaming else "sse" if alt == "sse" else "array"
    _refuse_what_no_script_says(body)
    instruction = body.get("systemInstruction", body.get("system_instruction"))
    messages: list[Mapping[str, Any]] = []
    if instruction:
        parts = instruction.get("parts", instruction) if isinstance(instruction, Mapping) else instruction
        messages.append({"role": "system", "content": content_of(parts)})
    contents = (
        [body["contents"]] if isinstance(body.get("contents"), dict) else objects(body, "contents", required=True)
    )
    for content in contents:
        messages.extend(_normalised(content))
    taken = ("contents", "systemInstruction", "system_instruction", "tools")
    return ParsedRequest(
        model=groups["model"],
        messages=messages,
        tools=[_in_json(tool) for tool in objects(body, "tools")],
        params=rest(body, *taken),
        framing=framing,
    )


def _refuse_what_no_script_says(body: Json) -> None:
    """Raise ``BadRequestError`` for more than one candidate, for log probabilities, and for sounds."""
    config = body.get("generationConfig") or body.get("generation_config") or {}
    for name in ("candidateCount", "candidate_count"):
        refuse(config, name, "a script is one reply", unless=lambda count: count in {None, 1})
    for name in ("responseLogprobs", "response_logprobs", "logprobs"):
        refuse(config, name, "a script has no log probabilities")
    for name in ("responseModalities", "response_modalities"):
        refuse(config, name, "a script says text and images only", unless=_has_no_sound)


def _has_no_sound(modalities: object) -> bool:
    legal = {"TEXT", "IMAGE"}
    return not modalities or (isinstance(modalities, list) and {str(one).upper() for one in modalities} <= legal)


def _normalised(content: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    given = content.get("parts", [])
    parts = [_in_json(part) for part in ([given] if isinstance(given, dict) else given) if isinstance(part, dict)]
    role = "assistant" if content.get("role") == "model" else "user"
    responses = [part for part in parts if isinstance(part.get("functionResponse"), dict)]
    calls = [part for part in parts if isinstance(part.get("functionCall"), dict)]
    said = [part for part in parts if "functionResponse" not in part and "functionCall" not in part]
    for part in responses:
        response = part["functionResponse"]
        named = {"name": response.get("name"), "tool_call_id": response.get("id")}
        result = json.dumps(response.get("response"), ensure_ascii=False)
        more = rest(response, "name", "id", "response") | rest(part, "functionResponse")
        yield {"role": "tool", **named, "content": result, **more}
    if calls:
        yield {"role": "assistant", "content": content_of(said), "tool_calls": list(map(_call, calls))}
    elif said or not responses:
        yield {"role": role, "content": said}


def _in_json(fields: Mapping[str, Any]) -> Json:
    """Spell fields as JSON does: the API also reads them by the names that protocol buffers give them.

    litellm sends ``function_response``; see https://protobuf.dev/programming-guides/json/.
    """
    return {re.sub("_([a-z])", lambda found: found[1].upper(), name): value for name, value in fields.items()}


def _call(part: Mapping[str, Any]) -> Json:
    """Return a call; the signature of the thoughts before it stands beside it."""
    call = part["functionCall"]
    more = rest(call, "id", "name", "args") | rest(part, "functionCall")
    return call_of(call.get("id"), call.get("name"), call.get("args") or {}, more)


class _Encoder:
    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._candidate = _Candidate()

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        pieces = pieces_of(chunk)
        self._candidate.hear(chunk)
        if chunk.finish_reason is not None:
            return [self._event(self._candidate.parts(pieces), chunk.usage or Usage(), self._reply.finish_reason)]
        return [self._event(self._candidate.parts(pieces) or [self._candidate.seal()])] if pieces else []

    def text(self, text: str) -> Event | None:
        if self._candidate.waits:
            return None
        self._candidate.hear_text(text)
        return self._event([{"text": text}])

    def ping(self) -> Event:
        return self._event([{"text": ""}])

    def error(self, error: ErrorEvent) -> Event:
        return Event(json_text(gemini_error(GEMINI_STATUS.get(error.type or "", 503), error.message, error.type)))

    def _event(self, parts: list[Json], usage: Usage | None = None, finish_reason: str | None = None) -> Event:
        return Event(json_text(_response(self._reply, parts, usage, finish_reason, self._candidate.take_grounding())))


class _Candidate:
    """Makes the parts of a candidate, and keeps what a later one needs: the signature of thoughts, and all sources."""

    def __init__(self) -> None:
        self._signature: str | None = None
        self._grounding: Json = {}
        self._has_news = False
        self._text = 0  # characters
        self._refusals: list[tuple[int, int]] = []  # characters of the text before each, and its bytes

    def hear(self, chunk: StreamChunk) -> None:
        """Note what is text here; the places of sources count refusals, too, which a script's text does not have."""
        for piece in pieces_of(chunk):
            if piece.kind == "text":
                self.hear_text(piece.text)
            elif piece.kind == "refusal":
                self._refusals.append((self._text, _size(piece.text)))

    def hear_text(self, text: str) -> None:
        """Do as ``hear``, of a chunk that is nothing but text."""
        self._text += len(text)

    @property
    def waits(self) -> bool:
        """Whether the next part has more than what it says itself."""
        return self._signature is not None or self._has_news

    def parts(self, blocks: Iterable[Block]) -> list[Json]:
        return [part for block in blocks for part in self._parts(block)]

    def seal(self) -> Json:
        """Return the part that has nothing but a signature, or the lack of one."""
        return self._signed({"text": ""}) if self.is_sealed else self._thought("")

    @property
    def is_sealed(self) -> bool:
        """Whether the next part has a signature that the script says."""
        return self._signature not in {None, SIGNATURE}

    def take_grounding(self) -> Json | None:
        """Return all sources so far, if there are new ones since the last time."""
        has_news, self._has_news = self._has_news, False
        return self._grounding if has_news else None

    def _parts(self, block: Block) -> list[Json]:
        """Return a block as parts; the first part after reasoning has the signature, whatever its kind."""
        if block.kind == "reasoning":
            said = block.step.signature if isinstance(block.step, Reasoning) else None
            signature = SIGNATURE if said is None else said or None
            if said is not None and not block.text and not self.is_sealed:  # it is about the next part alone
                self._signature = signature
                return []
            part, self._signature = self._thought(block.text), signature
            return [part]
        if block.kind == "tool_call":
            named = {"id": block.id} if block.id else {}
            call = {"functionCall": {**named, "name": block.name, "args": arguments_of(block.text)}}
            return [self._signed(call)]
        if block.kind == "image":
            return [self._signed({"inlineData": {"mimeType": block.step.media_type, "data": block.step.data}})]
        if block.kind == "server_tool":
            return self._run(block.step)
        for source in (*block.citations, *([block.step] if block.kind == "citation" else ())):
            self._cite(source)
        return [self._signed({"text": block.text})]

    def _thought(self, text: str) -> Json:
        said = {"text": text, "thought": True}
        # Thoughts that go on are not signed yet; of thoughts that said their signature, the next part has it.
        return self._signed(said) if self.is_sealed else said

    def _signed(self, part: Json) -> Json:
        signature, self._signature = self._signature, None
        return part if signature is None else part | {"thoughtSignature": signature}

    def _run(self, tool: ServerTool) -> list[Json]:
        if tool.name == "code_execution":
            code = {"language": "PYTHON", "code": tool.input.get("code", "")}
            ran = {"outcome": "OUTCOME_OK", "output": tool.result or ""}
            result = dict(tool.result) if isinstance(tool.result, Mapping) else ran
            return [self._signed({"executableCode": code}), {"codeExecutionResult": result}]
        self._ground(webSearchQueries=[tool.input["query"]] if "query" in tool.input else [])
        if isinstance(tool.result, Mapping):
            self._ground(**tool.result)
        for one in search_results(tool.result):
            self._ground(groundingChunks=[{"web": {"uri": one.get("url"), "title": one.get("title", "")}}])
        return [self._signed({"text": ""})]

    def _cite(self, source: Citation) -> None:
        # Places are counted in bytes: https://ai.google.dev/api/generate-content#Segment
        first, last = source.start or 0, source.end or 0
        start = _size(source.said[:first]) + sum(size for place, size in self._refusals if place <= first)
        end = _size(source.said[:last]) + sum(size for place, size in self._refusals if place < last or place <= first)
        segment = {"startIndex": start, "endIndex": end, "text": source.said[source.start : source.end]}
        number = len(self._grounding.get("groundingChunks", ()))
        self._ground(groundingChunks=[{"web": {"uri": source.url, "title": source.title}}])
        self._ground(groundingSupports=[{"segment": segment, "groundingChunkIndices": [number]}])

    def _ground(self, **news: list[Any]) -> None:
        self._has_news = True
        for name, items in news.items():
            self._grounding.setdefault(name, []).extend(items)


def _size(text: str) -> int:
    """Return how many bytes a text has."""
    return len(text.encode(errors="replace"))


def _response(
    reply: Reply, parts: list[Json], usage: Usage | None, finish_reason: str | None, grounding: Json | None
) -> Json:
    candidate: Json = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish_reason is not None:
        candidate["finishReason"] = finish_reason
    if grounding is not None:
        candidate["groundingMetadata"] = grounding
    return {
        "candidates": [candidate],
        "usageMetadata": _usage(
            usage or replace(reply.usage or Usage(prompt_tokens=reply.prompt_tokens), **_NOTHING_YET)
        ),
        "modelVersion": reply.request.model,
        "responseId": f"response-{reply.number}",
    }


def _usage(usage: Usage) -> Json:
    told: Json = {"promptTokenCount": usage.prompt_tokens, "totalTokenCount": usage.total_tokens}
    # Unlike OpenAI's, this count of output tokens does not include the thoughts.
    if usage.completion_tokens:
        told["candidatesTokenCount"] = usage.completion_tokens - usage.reasoning_tokens
    if usage.reasoning_tokens:
        told["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens:
        told["cachedContentTokenCount"] = usage.cached_tokens
    for name, count in (("prompt", usage.prompt_audio_tokens), ("candidates", usage.completion_audio_tokens)):
        if count:
            told[f"{name}TokensDetails"] = [{"modality": "AUDIO", "tokenCount": count}]
    return told


def _whole(reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
    candidate = _Candidate()
    for chunk in chunks:
        candidate.hear(chunk)
    parts = candidate.parts(blocks_of(chunks, refusals_are_text=True, has_borders=False))
    if candidate.is_sealed or not parts:
        parts.append(candidate.seal() if candidate.is_sealed else {"text": ""})
    return _response(reply, parts, usage_of(chunks), reply.finish_reason, candidate.take_grounding())


def _objection(_request: ParsedRequest, script: Script) -> str | None:
    for step in script.contents:
        if isinstance(step, Reasoning) and step.redacted:
            return f"its thoughts are signed, and never redacted, unlike {brief(step)}"
    return (
        broken_arguments(script)
        or odd_calls(script, needs_ids=False)
        or odd_tool(script, (*_SEARCHES, *_CODE), searches=_SEARCHES, code=_CODE, own_shape=True)
    )


FORMAT = WireFormat(
    name="Gemini",
    provider="gemini",
    shown="POST …/models/M:generateContent and :streamGenerateContent",
    path=re.compile(
        r"(?<!/publishers/google)/(?:models|tunedModels)/(?P<model>[^/:]+):(?P<method>(?:g|streamG)enerateContent)$"
    ),
    parse=_parse,
    encoder=_Encoder,
    whole=_whole,
    error=gemini_error,
    error_status=GEMINI_STATUS,
    finish_reasons=words(
        "RECITATION",
        "LANGUAGE",
        "OTHER",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "MALFORMED_FUNCTION_CALL",
        "IMAGE_SAFETY",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        stop="STOP",
        length="MAX_TOKENS",
        tool_calls="STOP",
        content_filter="SAFETY",
        function_call="STOP",
    ),
    objection=_objection,
    extras=(Interleave, Together, ServerTool, Citation, Image),
    whole_calls=True,
    decoding=DECODING,
)
VERTEX = replace(
    FORMAT,
    name="Gemini by way of Vertex AI",
    provider="vertex",
    shown="POST …/publishers/google/models/M:generateContent and :streamGenerateContent",
    path=re.compile(
        r"(?:/publishers/google/models|/endpoints)/(?P<model>[^/:]+):(?P<method>(?:g|streamG)enerateContent)$"
    ),
)
