"""Haystack: a generator, a pipeline with a prompt, an agent with a tool, a stream, a rate limit, a lost connection."""

import httpx2
import openai
import pytest
from haystack import Pipeline
from haystack.components.agents import Agent
from haystack.components.builders import ChatPromptBuilder
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import tool
from haystack_integrations.components.generators.anthropic import AnthropicChatGenerator

from pytest_mockstream import Disconnect, HTTPError, ToolCall

MODELS = {
    "openai": lambda **settings: OpenAIChatGenerator(model="gpt-5", **settings),
    "responses": lambda **settings: OpenAIResponsesChatGenerator(model="gpt-5", **settings),
    "anthropic": lambda **settings: AnthropicChatGenerator(model="claude-opus-4-8", **settings),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
HI = [ChatMessage.from_user("Tell me about Paris")]


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@each_model
def test_answer_comes_in_chunks(door, make):
    door.respond("Paris is lovely.")
    deltas = []

    reply = make(streaming_callback=lambda chunk: deltas.append(chunk.content)).run(HI)

    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]
    assert reply["replies"][0].text == "Paris is lovely."


@each_model
async def test_answer_comes_in_chunks_in_async_code(door, make):
    door.respond("Paris is lovely.")
    deltas = []

    async def show(chunk):
        deltas.append(chunk.content)

    await make(streaming_callback=show).run_async(HI)

    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]


@each_model
def test_pipeline(door, make):
    door.when(contains="Tell me about Paris").respond("Paris is lovely.")
    pipeline = Pipeline()
    pipeline.add_component("prompt", ChatPromptBuilder([ChatMessage.from_user("Tell me about {{city}}")]))
    pipeline.add_component("model", make())
    pipeline.connect("prompt.prompt", "model.messages")

    reply = pipeline.run({"prompt": {"city": "Paris"}})

    assert reply["model"]["replies"][0].text == "Paris is lovely."


@each_model
def test_tool_loop(door, make):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    reply = Agent(chat_generator=make(), tools=[weather]).run(messages=HI)

    assert reply["last_message"].text == "Take an umbrella."


@each_model
def test_overload_is_tried_again(door, make):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    assert make().run(HI)["replies"][0].text == "Paris is lovely."
    assert len(door.requests) == 2


def test_overload_for_good(door):
    door.respond(HTTPError(429, retry_after=0.01), times=None)

    with pytest.raises(openai.RateLimitError):
        MODELS["openai"](max_retries=1).run(HI)

    assert len(door.requests) == 2


@each_model
def test_connection_lost_midway(door, make):
    door.respond("Paris is", Disconnect())
    deltas = []

    with pytest.raises((openai.APIConnectionError, httpx2.ReadError)):
        make(streaming_callback=lambda chunk: deltas.append(chunk.content)).run(HI)

    assert "".join(deltas) == "Paris is"
