"""Bedrock's ``POST {base}/model/M/invoke`` for models that say text only: Titan Text, Llama, Mistral and Command R.

API: https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html has requests and replies of each. Each
chunk of a stream is a JSON object, and the last one has what Bedrock counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pytest_mockstream.script.chunks import StreamChunk, Usage
from pytest_mockstream.script.steps import ErrorEvent, Reasoning, ToolCall
from pytest_mockstream.wire.bedrock import BEDROCK_STATUS, bedrock_error, bedrock_event, invocation_metrics
from pytest_mockstream.wire.blocks import pieces_of, usage_of
from pytest_mockstream.wire.decoders.bedrock_text import COMMAND_R, LLAMA, MISTRAL, TITAN
from pytest_mockstream.wire.decoding import Decoding
from pytest_mockstream.wire.format import BadRequestError, Json, ParsedRequest, Reply, WireFormat, words
from pytest_mockstream.wire.reading import objects, rest, text_field
from pytest_mockstream.wire.sse import Event, json_text

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

#: Of a reply: the text, and with a stream's last chunk or a whole reply why the model stops and what was used.
Said: TypeAlias = "Callable[[Reply, str, Usage | None], Json]"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """How models of one family are asked by their own requests, and answer.

    Attributes:
        name: for messages.
        models: matches the ids of its models.
        prompt: the field of the request with the prompt.
        messages: makes the conversation of a request.
        taken: the fields that this takes.
        chunk: makes the object in a chunk of a stream.
        whole: makes the body of a reply that is not streamed.
        finish_reasons: as in ``WireFormat``.
        decoding: how its replies are read.
    """

    name: str
    models: str
    prompt: str
    chunk: Said
    whole: Said
    finish_reasons: Mapping[str, str]
    decoding: Decoding
    messages: Callable[[Json], list[Mapping[str, Any]]] = lambda _body: []
    taken: tuple[str, ...] = ()

    def parse(self, body: Json, groups: Mapping[str, str], _query: Mapping[str, str]) -> ParsedRequest:
        if "stream" in body:
            raise BadRequestError("there is no field 'stream': the path says it")
        asked = {"role": "user", "content": text_field(body, self.prompt)}
        return ParsedRequest(
            model=groups["model"],
            messages=[*self.messages(body), asked],
            params=rest(body, self.prompt, *self.taken),
            framing=None if groups["call"] == "invoke" else "aws-chunks",
        )

    def reply(self, reply: Reply, chunks: Sequence[StreamChunk]) -> Json:
        text = "".join(piece.text for chunk in chunks for piece in pieces_of(chunk))
        return self.whole(reply, text, usage_of(chunks))

    def wire_format(self) -> WireFormat:
        return WireFormat(
            name=f"Bedrock InvokeModel of {self.name}",
            provider="bedrock",
            shown="POST …/model/M/invoke and /invoke-with-response-stream",
            path=re.compile(
                rf"/model/(?P<model>(?:.*\b)?{self.models}[^/]*)/(?P<call>invoke|invoke-with-response-stream)$"
            ),
            parse=self.parse,
            encoder=lambda reply: _Encoder(reply, self.chunk),
            whole=self.reply,
            error=bedrock_error,
            error_status=BEDROCK_STATUS,
            finish_reasons=self.finish_reasons,
            lacks=dict.fromkeys((ToolCall, Reasoning), "its models say text only. Converse can say it"),
            garbled="chunk",
            decoding=self.decoding,
        )


class _Encoder:
    def __init__(self, reply: Reply, said: Said) -> None:
        self._reply = reply
        self._said = said

    def chunk(self, chunk: StreamChunk) -> Sequence[Event]:
        usage = (chunk.usage or Usage()) if chunk.finish_reason is not None else None
        metrics = {} if usage is None else invocation_metrics(usage)
        said = (self._said(self._reply, piece.text, usage) for piece in pieces_of(chunk))
        return [Event(json_text(told | metrics)) for told in said]

    def text(self, text: str) -> Event | None:
        return Event(json_text(self._said(self._reply, text, None)))

    def ping(self) -> Event | None:
        return None

    def error(self, error: ErrorEvent) -> Event:
        return bedrock_event(error)


# Amazon Titan Text


def _titan_chunk(reply: Reply, text: str, usage: Usage | None) -> Json:
    ended = usage is not None
    return {
        "outputText": text,
        "index": 0,
        "totalOutputTextTokenCount": usage.completion_tokens if usage else None,
        "completionReason": reply.finish_reason if ended else None,
        "inputTextTokenCount": usage.prompt_tokens if usage else None,
    }


def _titan_whole(reply: Reply, text: str, usage: Usage | None) -> Json:
    usage = usage or Usage()
    result = {"tokenCount": usage.completion_tokens, "outputText": text, "completionReason": reply.finish_reason}
    return {"inputTextTokenCount": usage.prompt_tokens, "results": [result]}


# Meta Llama


def _llama(reply: Reply, text: str, usage: Usage | None) -> Json:
    return {
        "generation": text,
        "prompt_token_count": usage.prompt_tokens if usage else None,
        "generation_token_count": usage.completion_tokens if usage else None,
        "stop_reason": reply.finish_reason if usage else None,
    }


# Mistral


def _mistral(reply: Reply, text: str, usage: Usage | None) -> Json:
    return {"outputs": [{"text": text, "stop_reason": reply.finish_reason if usage else None}]}


# Cohere Command R


def _cohere_messages(body: Json) -> list[Mapping[str, Any]]:
    preamble = body.get("preamble")
    before: list[Mapping[str, Any]] = [{"role": "system", "content": preamble}] if preamble else []
    roles = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system"}
    for said in objects(body, "chat_history"):
        role = roles.get(said.get("role", ""), "user")
        before.append({"role": role, "content": said.get("message"), **rest(said, "role", "message")})
    return before


def _cohere_chunk(reply: Reply, text: str, usage: Usage | None) -> Json:
    if usage is None:
        return {"is_finished": False, "event_type": "text-generation", "text": text}
    return {"is_finished": True, "event_type": "stream-end", "finish_reason": reply.finish_reason}


def _cohere_whole(reply: Reply, text: str, _usage: Usage | None) -> Json:
    number = f"response-{reply.number}"
    ids = {"response_id": number, "generation_id": number}
    return {"text": text, "finish_reason": reply.finish_reason, "chat_history": [], **ids}


_STOP_OR_LENGTH = words(stop="stop", length="length", tool_calls="stop", content_filter="stop", function_call="stop")

FORMATS = tuple(
    family.wire_format()
    for family in (
        _Family(
            name="Titan Text",
            decoding=TITAN,
            models=r"amazon\.titan-t",
            prompt="inputText",
            chunk=_titan_chunk,
            whole=_titan_whole,
            finish_reasons=words(
                "STOP_CRITERIA_MET",
                stop="FINISH",
                length="LENGTH",
                tool_calls="FINISH",
                content_filter="CONTENT_FILTERED",
                function_call="FINISH",
            ),
        ),
        _Family(
            name="Llama",
            decoding=LLAMA,
            models=r"meta\.llama",
            prompt="prompt",
            chunk=_llama,
            whole=_llama,
            finish_reasons=_STOP_OR_LENGTH,
        ),
        _Family(
            name="Mistral",
            decoding=MISTRAL,
            models=r"mistral\.",
            prompt="prompt",
            chunk=_mistral,
            whole=_mistral,
            finish_reasons=_STOP_OR_LENGTH,
        ),
        _Family(
            name="Command R",
            decoding=COMMAND_R,
            models=r"cohere\.command-r",
            prompt="message",
            messages=_cohere_messages,
            taken=("preamble", "chat_history"),
            chunk=_cohere_chunk,
            whole=_cohere_whole,
            finish_reasons=words(
                "ERROR_LIMIT",
                "USER_CANCEL",
                stop="COMPLETE",
                length="MAX_TOKENS",
                tool_calls="COMPLETE",
                content_filter="ERROR_TOXIC",
                function_call="COMPLETE",
            ),
        ),
    )
)
