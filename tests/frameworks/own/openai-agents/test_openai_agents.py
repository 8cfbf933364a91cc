"""openai-agents: a run, a streamed run, a tool loop, a hand-off, a rate limit, a lost connection."""

import openai
import pytest
from agents import Agent, OpenAIChatCompletionsModel, Runner, function_tool
from agents.items import ItemHelpers
from pydantic import BaseModel

from pytest_mockstream import Disconnect, HTTPError, ToolCall


class Trip(BaseModel):
    city: str
    days: int


@function_tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def responses():
    return "gpt-5"


def chat():
    return OpenAIChatCompletionsModel(model="gpt-5", openai_client=openai.AsyncOpenAI())


each_api = pytest.mark.parametrize("model", [responses, chat])


@each_api
async def test_answer(door, model):
    door.respond("Paris is lovely.")

    result = await Runner.run(Agent(name="guide", model=model()), "Tell me about Paris")

    assert result.final_output == "Paris is lovely."


@each_api
async def test_answer_comes_in_chunks(door, model):
    door.respond("Paris is lovely.")

    result = Runner.run_streamed(Agent(name="guide", model=model()), "Tell me about Paris")
    deltas = [
        event.data.delta
        async for event in result.stream_events()
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
    ]

    assert deltas == ["Paris ", "is ", "lovely."]


@each_api
def test_answer_in_sync_code(door, model):
    door.respond("Paris is lovely.")

    assert Runner.run_sync(Agent(name="guide", model=model()), "Tell me about Paris").final_output == "Paris is lovely."


@each_api
async def test_tool_loop(door, model):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    result = Runner.run_streamed(Agent(name="guide", model=model(), tools=[weather]), "What to wear in Paris?")
    kinds = [event.item.type async for event in result.stream_events() if event.type == "run_item_stream_event"]

    assert kinds == ["tool_call_item", "tool_call_output_item", "message_output_item"]
    assert ItemHelpers.text_message_outputs(result.new_items) == "Take an umbrella."


async def test_hand_off(door):
    door.when(tool="transfer_to_painter").respond(ToolCall("transfer_to_painter", {}))
    door.respond("A picture of Paris.")
    painter = Agent(name="painter", model="gpt-5")

    result = await Runner.run(Agent(name="guide", model="gpt-5", handoffs=[painter]), "Paint Paris")

    assert (result.final_output, result.last_agent) == ("A picture of Paris.", painter)


async def test_structured_output(door):
    door.respond('{"city": "Paris", "days": 3}')

    result = await Runner.run(Agent(name="guide", model="gpt-5", output_type=Trip), "Plan a trip")

    assert result.final_output == Trip(city="Paris", days=3)


@each_api
async def test_overload_is_tried_again(door, model):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    assert (await Runner.run(Agent(name="guide", model=model()), "Paris?")).final_output == "Paris is lovely."
    assert len(door.requests) == 2


@each_api
async def test_overload_for_good(door, model):
    door.respond(HTTPError(429, retry_after=0.01), times=3)

    with pytest.raises(openai.RateLimitError):
        await Runner.run(Agent(name="guide", model=model()), "Tell me about Paris")

    assert len(door.requests) == 3


@each_api
async def test_connection_lost_midway(door, model):
    door.respond("Paris is", Disconnect())
    result = Runner.run_streamed(Agent(name="guide", model=model()), "Tell me about Paris")

    with pytest.raises(openai.APIConnectionError):
        async for _ in result.stream_events():
            pass


async def test_run_that_is_cancelled(door):
    door.respond("one two three four five")
    result = Runner.run_streamed(Agent(name="guide", model="gpt-5"), "count")

    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            result.cancel()

    await door.requests[0].aassert_closed(within=5)
