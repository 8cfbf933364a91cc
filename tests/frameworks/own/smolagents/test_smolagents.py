"""smolagents: an agent that calls tools, one that writes code, a stream, a rate limit, a lost connection."""

import openai
import pytest
from smolagents import CodeAgent, OpenAIModel, ToolCallingAgent, tool
from smolagents.models import ChatMessage

from pytest_mockstream import Disconnect, HTTPError, ToolCall


@tool
def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return f"rain in {city}"


def hi():
    return [ChatMessage(role="user", content="Tell me about Paris")]


def test_answer(door):
    door.respond("Paris is lovely.")

    assert OpenAIModel("gpt-5").generate(hi()).content == "Paris is lovely."


def test_answer_comes_in_chunks(door):
    door.respond("Paris is lovely.")

    deltas = [delta.content for delta in OpenAIModel("gpt-5").generate_stream(hi())]

    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]


@pytest.mark.parametrize("streamed", [False, True])
def test_tool_loop(door, streamed):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(contains="rain in Paris").respond(ToolCall("final_answer", {"answer": "Take an umbrella."}))
    agent = ToolCallingAgent([weather], OpenAIModel("gpt-5"), stream_outputs=streamed, verbosity_level=0)

    assert agent.run("What to wear in Paris?") == "Take an umbrella."
    assert len(door.requests) == 2


def test_code(door):
    door.respond("Thought: look.\n<code>\nfinal_answer(weather('Paris'))\n</code>")

    assert CodeAgent([weather], OpenAIModel("gpt-5"), verbosity_level=0).run("Weather in Paris?") == "rain in Paris"


def test_overload_is_tried_again(door):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    assert OpenAIModel("gpt-5").generate(hi()).content == "Paris is lovely."
    assert len(door.requests) == 2


def test_connection_lost_midway(door):
    door.respond("Paris is", Disconnect())
    read = []

    with pytest.raises(openai.APIConnectionError):
        for delta in OpenAIModel("gpt-5").generate_stream(hi()):
            read.append(delta.content or "")

    assert "".join(read) == "Paris is"
