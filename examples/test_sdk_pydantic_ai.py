"""pydantic-ai: an agent that calls a tool, its two requests told apart by what they carry."""

from __future__ import annotations

import pytest

from pytest_mockstream import MockStreamSDK, ToolCall

pydantic_ai = pytest.importorskip("pydantic_ai")
pytest.importorskip("openai")


async def answer(question: str) -> str:
    """The code under test: an agent that may ask for the weather."""
    agent = pydantic_ai.Agent("openai-chat:gpt-5")

    @agent.tool_plain  # type: ignore[untyped-decorator] # importorskip gives no types
    def get_weather(city: str) -> str:
        return f"rain in {city}"

    async with agent.run_stream(question) as result:
        text: str = await result.get_output()
    return text


async def test_agent_calls_its_tool_and_answers(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.when(tool_result_contains="rain").respond("Take an umbrella.")
    mock_stream_sdk.respond(ToolCall("get_weather", {"city": "Paris"}))

    assert await answer("What to wear in Paris?") == "Take an umbrella."
    assert [request.state for request in mock_stream_sdk.requests] == ["exhausted", "exhausted"]
