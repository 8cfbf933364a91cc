"""Cohere's v2 API, asked by its SDK through each door: chats, embeddings, reranking and tokens."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

import cohere
import pytest

from pytest_mockstream import (
    Disconnect,
    ErrorEvent,
    HTTPError,
    MockStreamServer,
    Reasoning,
    ToolCall,
    Usage,
)

from .conftest import Door
from .strict import strict

# Cohere's SDK asks so when a client is made; on Python 3.14.
pytestmark = pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")

HI: Any = [{"role": "user", "content": "hi"}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


#: Of a message that begins: Cohere's documentation has these fields, its SDK's model does not.
BEGUN = tuple(f".delta.message.{name}" for name in ("content", "tool_plan", "tool_calls", "citations"))


def stream(co: cohere.ClientV2, **more: Any) -> list[Any]:
    return [strict(event, *BEGUN) for event in co.chat_stream(model="command-a", messages=HI, **more)]


@pytest.fixture
def co(door: Door) -> Iterator[cohere.ClientV2]:
    base = door.url if isinstance(door, MockStreamServer) else None
    with cohere.ClientV2(api_key="x", base_url=base) as client:
        yield client


def test_text_is_streamed(door: Door, co: cohere.ClientV2) -> None:
    door.respond("Paris is ", "lovely.", usage=Usage(prompt_tokens=3, completion_tokens=5))

    events = stream(co)

    kinds = ["message-start", "content-start", *["content-delta"] * 3, "content-end", "message-end"]
    assert [event.type for event in events] == kinds
    said = [event.delta.message.content.text for event in events if event.type == "content-delta"]
    assert said == ["Paris ", "is ", "lovely."]
    assert events[-1].delta.finish_reason == "COMPLETE"
    assert events[-1].delta.usage.tokens.output_tokens == 5
    assert (door.requests[0].provider, door.requests[0].model) == ("cohere", "command-a")
    assert (door.requests[0].text, door.requests[0].state) == ("hi", "exhausted")


def test_thinking_has_a_part_of_its_own(door: Door, co: cohere.ClientV2) -> None:
    door.respond(Reasoning("so be it"), "Yes", times=2)

    events = stream(co)
    whole: Any = strict(co.chat(model="command-a", messages=HI))

    thought = [e.delta.message.content.thinking for e in events if e.type == "content-delta" and e.index == 0]
    assert "".join(thought) == "so be it"
    assert [(part.type, getattr(part, part.type)) for part in whole.message.content] == [
        ("thinking", "so be it"),
        ("text", "Yes"),
    ]


def test_text_before_tool_calls_is_the_plan(door: Door, co: cohere.ClientV2) -> None:
    door.respond("I look ", ToolCall("weather", {"city": "Paris"}), ToolCall("time"), times=2)

    events = stream(co, tools=[TOOL])
    whole: Any = strict(co.chat(model="command-a", messages=HI, tools=[TOOL]))

    assert "".join(e.delta.message.tool_plan for e in events if e.type == "tool-plan-delta") == "I look "
    starts = [e.delta.message.tool_calls for e in events if e.type == "tool-call-start"]
    assert [(call.id, call.function.name) for call in starts] == [("call_1", "weather"), ("call_2", "time")]
    deltas = [e for e in events if e.type == "tool-call-delta"]
    first = "".join(e.delta.message.tool_calls.function.arguments for e in deltas if e.index == 0)
    assert first == '{"city": "Paris"}'
    assert [e.index for e in events if e.type == "tool-call-end"] == [0, 1]
    assert events[-1].delta.finish_reason == "TOOL_CALL"
    assert (whole.message.tool_plan, whole.finish_reason) == ("I look ", "TOOL_CALL")
    assert whole.message.tool_calls[0].function.arguments == first


def test_results_of_tools_are_understood(door: Door, co: cohere.ClientV2) -> None:
    door.when(tool="weather", tool_result_contains="sunny").respond("Sunny.")
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    result = [{"type": "document", "document": {"data": {"sky": "sunny"}}}]
    talk: Any = [
        *HI,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": result},
    ]

    reply: Any = co.chat(model="command-a", messages=talk, tools=[TOOL])

    assert reply.message.content[0].text == "Sunny."
    assert door.requests[0].turn == 2


def test_http_error_is_the_sdks_own(door: Door, co: cohere.ClientV2) -> None:
    door.respond(HTTPError(429, message="slow down"), times=None)

    with pytest.raises(cohere.TooManyRequestsError, match="slow down"):
        co.chat(model="command-a", messages=HI, request_options={"max_retries": 0})


def test_error_in_a_stream_ends_the_message(door: Door, co: cohere.ClientV2) -> None:
    door.respond("so far ", ErrorEvent("no more"))

    events = stream(co)

    assert (events[-1].type, events[-1].delta.finish_reason, events[-1].delta.error) == (
        "message-end",
        "ERROR",
        "no more",
    )


def test_stream_that_breaks_off_is_an_error(door: Door, co: cohere.ClientV2) -> None:
    door.respond("so far ", Disconnect())

    with pytest.raises(Exception, match="reset"):
        list(co.chat_stream(model="command-a", messages=HI))

    assert door.requests[0].state == "broken"


# Embeddings, reranking, tokens.


def test_texts_that_share_words_are_close(co: cohere.ClientV2) -> None:
    texts = ["the moon is far", "how far is the moon?", "cats sleep"]

    made: Any = strict(co.embed(model="embed-v4.0", texts=texts, input_type="search_query", embedding_types=["float"]))

    one, near, far = made.embeddings.float_
    assert sum(a * b for a, b in zip(one, near, strict=True)) > 0.6 > sum(a * b for a, b in zip(one, far, strict=True))
    assert made.texts == texts


def test_embeddings_have_the_types_that_are_asked_for(co: cohere.ClientV2) -> None:
    kinds: Any = ["int8", "uint8", "binary", "ubinary", "base64", "float"]

    made: Any = co.embed(
        model="e", texts=["a b c"], input_type="search_query", embedding_types=kinds, output_dimension=16
    ).embeddings

    exact = made.float_[0]
    assert made.int8[0] == [round(value * 127) for value in exact]
    assert made.uint8[0] == [value + 128 for value in made.int8[0]]
    bits = "".join(f"{byte:08b}" for byte in made.ubinary[0])
    assert bits == "".join("1" if value > 0 else "0" for value in exact)
    assert made.binary[0] == [byte - 128 for byte in made.ubinary[0]]
    assert list(struct.unpack("<16f", base64.b64decode(made.base64[0]))) == pytest.approx(exact)


def test_documents_are_ranked_by_the_words_of_the_query(co: cohere.ClientV2) -> None:
    documents = ["cats sleep all day", "the moon is far away", "the sun"]

    ranked: Any = strict(co.rerank(model="rerank-v3.5", query="how far is the moon", documents=documents, top_n=2))

    assert [result.index for result in ranked.results] == [1, 2]
    assert 1 >= ranked.results[0].relevance_score > ranked.results[1].relevance_score >= 0


def test_text_is_tokens_and_text_again(co: cohere.ClientV2) -> None:
    tokens: Any = strict(co.tokenize(text="Hello, you there", model="command-a"))

    assert tokens.token_strings == ["Hello", ",", " you", " there"]
    assert strict(co.detokenize(tokens=tokens.tokens, model="command-a")).text == "Hello, you there"
    assert strict(co.models.list()).models[0].name == "mock-model"
