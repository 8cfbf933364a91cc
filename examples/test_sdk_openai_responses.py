"""OpenAI Responses: the SDK's own helper puts the events together."""

from __future__ import annotations

import pytest

from pytest_mockstream import MockStreamSDK, Reasoning, ToolCall, Truncate

openai = pytest.importorskip("openai")


def answer(question: str) -> str:
    """The code under test, sync."""
    with openai.OpenAI() as client, client.responses.stream(model="gpt-5", input=question) as stream:
        for _ in stream:
            pass
        response = stream.get_final_response()
    calls = [f"{item.name}({item.arguments})" for item in response.output if item.type == "function_call"]
    text: str = response.output_text
    return text or ", ".join(calls)


def test_answer_is_what_the_model_streams(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(Reasoning("A city in France."), "Paris is lovely.")

    assert answer("Tell me about Paris") == "Paris is lovely."


def test_tool_call(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond(ToolCall("get_weather", {"city": "Paris"}))

    assert answer("The weather in Paris?") == 'get_weather({"city": "Paris"})'


def test_stream_that_ends_too_early_is_noticed(mock_stream_sdk: MockStreamSDK) -> None:
    mock_stream_sdk.respond("Paris is", Truncate())

    with pytest.raises(RuntimeError, match=r"response\.completed"):
        answer("Tell me about Paris")
