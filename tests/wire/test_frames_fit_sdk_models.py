"""Every frame fits the SDKs' own models, with no field that they do not know."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from anthropic.types import Message, RawMessageStreamEvent
from decoders import decode_sse
from door import HELLO, Door
from hypothesis import given, settings
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from scripts import scripts

from pytest_mockstream import ErrorEvent, Reasoning, Refusal, Script, ToolCall

STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
MESSAGE_EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
EVERYTHING = Script(Reasoning("so be it"), "text ", Refusal("no"), ToolCall("a", {"b": 1}), ToolCall("c"), times=None)
TOOL = {"type": "function", "name": "a", "parameters": {"type": "object"}, "strict": True}
RESPONSES_BODY = {"model": "gpt", "input": "hi", "stream": True, "instructions": "be brief", "tools": [TOOL]}
CHAT_BODY = {"model": "gpt", "messages": HELLO, "stream": True, "stream_options": {"include_usage": True}}
MESSAGES_BODY = {"model": "claude", "messages": HELLO, "max_tokens": 9, "stream": True}


def unknown_fields(value: Any, path: str = "") -> Iterator[str]:
    """Yield the fields that a model took in without knowing them, all the way down."""
    if isinstance(value, BaseModel):
        yield from (f"{path}.{name}" for name in value.model_extra or ())
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_fields(item, f"{path}[{index}]")


@settings(max_examples=25)
@given(script=scripts())
def test_every_frame_of_responses_is_an_event_of_the_sdk(script: Script) -> None:
    events = decode_sse(Door(script).body("/v1/responses", RESPONSES_BODY))

    parsed = [STREAM_EVENT.validate_json(event.data) for event in events]

    assert [list(unknown_fields(event)) for event in parsed] == [[]] * len(events)
    assert [event.type for event in parsed] == [event.name for event in events]
    assert [event.sequence_number for event in parsed] == list(range(len(events)))


@settings(max_examples=25)
@given(script=scripts())
def test_every_frame_of_anthropic_is_an_event_of_the_sdk(script: Script) -> None:
    events = decode_sse(Door(script).body("/v1/messages", MESSAGES_BODY))

    parsed = [MESSAGE_EVENT.validate_json(event.data) for event in events]

    assert [list(unknown_fields(event)) for event in parsed] == [[]] * len(events)
    assert [event.type for event in parsed] == [event.name for event in events]


@settings(max_examples=25)
@given(script=scripts())
def test_every_frame_of_chat_is_a_chunk_of_the_sdk_but_for_reasoning(script: Script) -> None:
    *events, done = decode_sse(Door(script).body("/v1/chat/completions", CHAT_BODY))

    parsed = [ChatCompletionChunk.model_validate_json(event.data) for event in events]

    assert done.data == "[DONE]"
    unknown = {field for chunk in parsed for field in unknown_fields(chunk)}
    assert unknown <= {".choices[0].delta.reasoning_content"}


@pytest.mark.parametrize(
    ("path", "body", "model", "known_extra"),
    [
        ("/v1/chat/completions", CHAT_BODY, ChatCompletion, [".choices[0].message.reasoning_content"]),
        ("/v1/responses", RESPONSES_BODY, Response, []),
        ("/v1/messages", MESSAGES_BODY, Message, []),
    ],
)
def test_whole_body_fits_the_model(path: str, body: Any, model: type[BaseModel], known_extra: list[str]) -> None:
    whole = model.model_validate_json(Door(EVERYTHING).body(path, body | {"stream": False, "stream_options": None}))

    assert list(unknown_fields(whole)) == known_extra


@pytest.mark.parametrize("finish_reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
@pytest.mark.parametrize(
    ("path", "body", "adapter"),
    [
        ("/v1/chat/completions", CHAT_BODY, TypeAdapter(ChatCompletionChunk)),
        ("/v1/responses", RESPONSES_BODY, STREAM_EVENT),
        ("/v1/messages", MESSAGES_BODY, MESSAGE_EVENT),
    ],
)
def test_every_finish_reason_is_a_word_of_the_sdk(
    path: str, body: Any, adapter: TypeAdapter[Any], finish_reason: str
) -> None:
    events = decode_sse(Door(Script("cut", Refusal("off"), finish_reason=finish_reason)).body(path, body))

    for event in events:
        if event.data != "[DONE]":
            adapter.validate_json(event.data)


def test_error_event_of_responses_fits_the_model() -> None:
    *_, last = decode_sse(Door(Script("so far ", ErrorEvent("no more"))).body("/v1/responses", RESPONSES_BODY))

    error = STREAM_EVENT.validate_json(last.data)

    assert (last.name, error.message, list(unknown_fields(error))) == ("error", "no more", [])


def test_embeddings_fit_the_model() -> None:
    body = Door().body("/v1/embeddings", {"model": "text-embedding-3-small", "input": ["one", "two"]})

    embeddings = CreateEmbeddingResponse.model_validate_json(body)

    assert list(unknown_fields(embeddings)) == []
    assert [len(item.embedding) for item in embeddings.data] == [1536, 1536]


def test_frames_are_the_same_on_every_run() -> None:
    assert json.dumps([Door(EVERYTHING).body(path, body).decode() for path, body in _BODIES.items()]) == json.dumps(
        [Door(EVERYTHING).body(path, body).decode() for path, body in _BODIES.items()]
    )


_BODIES: dict[str, Any] = {
    "/v1/chat/completions": CHAT_BODY,
    "/v1/responses": RESPONSES_BODY,
    "/v1/messages": MESSAGES_BODY,
}
