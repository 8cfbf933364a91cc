"""langchain-openai keeps one HTTP client a process; every test is answered all the same."""

from __future__ import annotations

import pytest

from pytest_mockstream import MockStreamSDK, ToolCall

langchain_openai = pytest.importorskip("langchain_openai")


async def answer(question: str) -> str:
    """The code under test."""
    model = langchain_openai.ChatOpenAI(model="gpt-5")
    return "".join([chunk.text async for chunk in model.astream(question)])


@pytest.mark.parametrize("reply", ["Paris is lovely.", "Paris is rainy."])
async def test_answer_is_what_the_model_streams(mock_stream_sdk: MockStreamSDK, reply: str) -> None:
    mock_stream_sdk.respond(reply)

    assert await answer("Tell me about Paris") == reply


def test_tool_call(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(ToolCall("get_weather", {"city": "Paris"}))

    message = langchain_openai.ChatOpenAI(model="gpt-5").invoke("The weather in Paris?")

    assert [(call["name"], call["args"]) for call in message.tool_calls] == [("get_weather", {"city": "Paris"})]
