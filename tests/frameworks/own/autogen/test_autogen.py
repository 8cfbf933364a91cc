"""AutoGen: an agent, one with a tool, a team, a stream, a rate limit, a lost connection."""

import openai
import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient

from pytest_mockstream import Disconnect, HTTPError, ToolCall


def model():
    return OpenAIChatCompletionClient(model="gpt-4o")


async def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


async def test_answer(door):
    door.respond("Paris is lovely.")

    result = await AssistantAgent("guide", model_client=model()).run(task="Tell me about Paris")

    assert result.messages[-1].content == "Paris is lovely."


async def test_answer_comes_in_chunks(door):
    door.respond("Paris is lovely.")
    agent = AssistantAgent("guide", model_client=model(), model_client_stream=True)

    said = [event async for event in agent.run_stream(task="Tell me about Paris")]

    deltas = [event.content for event in said if isinstance(event, ModelClientStreamingChunkEvent)]
    assert deltas == ["Paris ", "is ", "lovely."]


@pytest.mark.parametrize("streamed", [False, True])
async def test_tool_loop(door, streamed):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")
    agent = AssistantAgent(
        "guide", model_client=model(), tools=[weather], reflect_on_tool_use=True, model_client_stream=streamed
    )

    result = await agent.run(task="What to wear in Paris?")

    assert result.messages[-1].content == "Take an umbrella."


async def test_team(door):
    door.respond("Paris.")
    door.respond("Rome.")
    agents = [AssistantAgent(name, model_client=model()) for name in ("one", "two")]

    result = await RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(3)).run(task="Name a city")

    assert [message.content for message in result.messages] == ["Name a city", "Paris.", "Rome."]


async def test_overload_is_tried_again(door):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    result = await AssistantAgent("guide", model_client=model()).run(task="Tell me about Paris")

    assert result.messages[-1].content == "Paris is lovely."
    assert len(door.requests) == 2


async def test_connection_lost_midway(door):
    door.respond("Paris is", Disconnect())
    agent = AssistantAgent("guide", model_client=model(), model_client_stream=True)

    with pytest.raises(openai.APIConnectionError):
        async for _ in agent.run_stream(task="Tell me about Paris"):
            pass
