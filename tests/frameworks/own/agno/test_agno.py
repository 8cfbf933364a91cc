"""Agno: an agent that answers, streams and calls a tool, a rate limit, a lost connection."""

import pytest
from agno.agent import Agent
from agno.models.anthropic import Claude
from agno.models.openai import OpenAIChat, OpenAIResponses
from agno.run.agent import RunContentEvent, RunErrorEvent

from pytest_mockstream import Disconnect, HTTPError, ToolCall

MODELS = {
    "openai": lambda: OpenAIChat(id="gpt-5"),
    "responses": lambda: OpenAIResponses(id="gpt-5"),
    "anthropic": lambda: Claude(id="claude-opus-4-8"),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@each_model
async def test_answer_comes_in_chunks(door, make):
    door.respond("Paris is lovely.")

    events = [event async for event in Agent(model=make()).arun("Tell me about Paris", stream=True)]

    deltas = [event.content for event in events if isinstance(event, RunContentEvent)]
    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]


@each_model
def test_answer_in_sync_code(door, make):
    door.respond("Paris is lovely.")

    assert Agent(model=make()).run("Tell me about Paris").content == "Paris is lovely."


@each_model
async def test_tool_loop(door, make):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    assert (await Agent(model=make(), tools=[weather]).arun("What to wear in Paris?")).content == "Take an umbrella."


@each_model
async def test_overload_is_tried_again(door, make):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    assert (await Agent(model=make()).arun("Tell me about Paris")).content == "Paris is lovely."
    assert len(door.requests) == 2


@each_model
async def test_connection_lost_midway(door, make):
    door.respond("Paris is", Disconnect())

    events = [event async for event in Agent(model=make()).arun("Tell me about Paris", stream=True)]

    assert isinstance(events[-1], RunErrorEvent)
