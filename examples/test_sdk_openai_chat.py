"""OpenAI Chat Completions: code that builds its own client, tested as it is."""

from __future__ import annotations

import pytest

from pytest_mockstream import Disconnect, HTTPError, MockStreamSDK, ToolCall

openai = pytest.importorskip("openai")
VERSION = tuple(int(part) for part in openai.VERSION.split(".")[:2])


async def answer(question: str) -> str:
    """The code under test: it knows nothing of its tests."""
    client = openai.AsyncOpenAI()
    parts = []
    messages = [{"role": "user", "content": question}]
    try:
        async with await client.chat.completions.create(model="gpt-5", messages=messages, stream=True) as stream:
            async for chunk in stream:
                delta = chunk.choices[0].delta
                parts.append(delta.content or "")
                parts.extend(call.function.arguments for call in delta.tool_calls or ())
    except openai.APIConnectionError:
        parts.append("[connection lost]")
    return "".join(parts)


async def test_answer_is_what_the_model_streams(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris is lovely.")

    assert await answer("Tell me about Paris") == "Paris is lovely."

    request = mock_stream_sdk.requests[0]
    assert (request.provider, request.model, request.text) == ("openai", "gpt-5", "Tell me about Paris")
    request.assert_closed()


@pytest.mark.skipif(VERSION < (3, 14), reason="openai before 3.14 lets the error of its HTTP library through")
async def test_connection_lost_midway_is_said(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris is ", Disconnect())

    assert await answer("Tell me about Paris") == "Paris is [connection lost]"


async def test_tool_call_is_streamed_in_fragments(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(ToolCall("get_weather", {"city": "Paris"}))

    assert await answer("The weather in Paris?") == '{"city": "Paris"}'


async def test_overload_is_tried_again(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(HTTPError(503, retry_after=0.01))
    mock_stream_sdk.respond("At last.")

    assert await answer("Still there?") == "At last."
    assert len(mock_stream_sdk.requests) == 2
