"""Strands: an agent that answers, streams and calls a tool, a rate limit, a lost connection."""

import httpx
import pytest
import urllib3
from strands import Agent, tool
from strands.models import BedrockModel
from strands.models.anthropic import AnthropicModel
from strands.models.openai import OpenAIModel
from strands.types.exceptions import ModelThrottledException

from pytest_mockstream import Disconnect, HTTPError, ToolCall

MODELS = {
    "bedrock": lambda: BedrockModel(model_id="us.anthropic.claude-sonnet-4-20250514-v1:0"),
    "openai": lambda: OpenAIModel(model_id="gpt-5"),
    "anthropic": lambda: AnthropicModel(model_id="claude-opus-4-8", max_tokens=99),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def guide(make, **settings):
    return Agent(make(), callback_handler=None, **settings)


@each_model
def test_answer(door, make):
    door.respond("Paris is lovely.")

    assert str(guide(make)("Tell me about Paris")).strip() == "Paris is lovely."


@each_model
async def test_answer_comes_in_chunks(door, make):
    door.respond("Paris is lovely.")

    deltas = [event["data"] async for event in guide(make).stream_async("Tell me about Paris") if "data" in event]

    assert deltas == ["Paris ", "is ", "lovely."]


@each_model
def test_tool_loop(door, make):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    assert str(guide(make, tools=[weather])("What to wear in Paris?")).strip() == "Take an umbrella."


@each_model
async def test_overload_for_good(door, make):
    door.respond(HTTPError(429, retry_after=0.01), times=None)

    with pytest.raises(ModelThrottledException):
        await guide(make, retry_strategy=None).invoke_async("Tell me about Paris")


@each_model
async def test_connection_lost_midway(door, make):
    door.respond("Paris is", Disconnect())

    with pytest.raises((httpx.ReadError, urllib3.exceptions.ProtocolError)):
        await guide(make).invoke_async("Tell me about Paris")
