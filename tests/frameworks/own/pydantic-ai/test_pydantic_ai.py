"""pydantic-ai: an answer as it comes, a tool loop, structured output, a rate limit, a fallback, a lost connection."""

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelAPIError, ModelHTTPError
from pydantic_ai.models.fallback import FallbackModel

from pytest_mockstream import Disconnect, HTTPError, Reasoning, ToolCall

MODELS = [
    "openai-chat:gpt-5",
    "openai-responses:gpt-5",
    "anthropic:claude-opus-4-8",
    "google:gemini-3.8-flash",
    "bedrock:us.anthropic.claude-sonnet-4-20250514-v1:0",
]
OTHERS = ["groq:llama-3.3-70b-versatile", "mistral:mistral-large-latest", "cohere:command-a-03-2025"]
each_model = pytest.mark.parametrize("model", MODELS)


class Trip(BaseModel):
    city: str
    days: int


def guide(model):
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    return agent


@each_model
async def test_answer_comes_in_chunks(door, model):
    door.respond("Paris is lovely.")

    async with Agent(model).run_stream("Tell me about Paris") as result:
        deltas = [delta async for delta in result.stream_text(delta=True, debounce_by=None)]

    assert deltas == ["Paris ", "is ", "lovely."]


@each_model
def test_answer_in_sync_code(door, model):
    door.respond("Paris is lovely.")

    result = Agent(model).run_sync("Tell me about Paris")

    assert result.output == "Paris is lovely."
    assert result.usage.output_tokens == 3


@each_model
async def test_tool_loop(door, model):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    assert (await guide(model).run("What to wear in Paris?")).output == "Take an umbrella."
    assert len(door.requests) == 2


@pytest.mark.parametrize("model", OTHERS)
async def test_tool_loop_of_other_providers(mock_stream_sdk, model, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "not-a-real-key")
    mock_stream_sdk.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    mock_stream_sdk.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    assert (await guide(model).run("What to wear in Paris?")).output == "Take an umbrella."


@each_model
async def test_structured_output(door, model):
    door.respond(ToolCall("final_result", {"city": "Paris", "days": 3}))

    assert (await Agent(model, output_type=Trip).run("Plan a trip")).output == Trip(city="Paris", days=3)


@each_model
async def test_reasoning(door, model):
    door.respond(Reasoning("Paris, again."), "Lovely.")

    result = await Agent(model).run("Tell me about Paris")

    assert [part.part_kind for part in result.response.parts] == ["thinking", "text"]


@each_model
async def test_overload_for_good(door, model):
    door.respond(HTTPError(429, retry_after=0.01), times=None)

    with pytest.raises(ModelHTTPError) as caught:
        await Agent(model).run("Tell me about Paris")

    assert caught.value.status_code == 429


async def test_fallback_to_another_provider(door):
    door.when(provider="openai").respond(HTTPError(500), times=None)
    door.when(provider="anthropic").respond("Paris is lovely.")

    result = await Agent(FallbackModel(MODELS[0], MODELS[2])).run("Tell me about Paris")

    assert result.output == "Paris is lovely."


@each_model
async def test_connection_lost_midway(door, model):
    door.respond("Paris is", Disconnect())
    read = []

    with pytest.raises(ModelAPIError):
        async with Agent(model).run_stream("Tell me about Paris") as result:
            async for delta in result.stream_text(delta=True, debounce_by=None):
                read.append(delta)

    assert "".join(read) == "Paris is"


async def first_word(model):
    async with Agent(model).run_stream("count") as result:
        return await anext(aiter(result.stream_text(delta=True, debounce_by=None)))


@pytest.mark.parametrize("model", [model for model in MODELS if "google" not in model])
async def test_reader_that_stops_early(door, model):
    door.respond("one two three four five")

    assert await first_word(model) == "one "
    await door.requests[0].aassert_closed(within=5)


@pytest.mark.expect_leak(kind="stream")
async def test_reader_that_stops_early_leaves_a_stream_of_google_genai_open(mock_stream_sdk):
    mock_stream_sdk.respond("one two three four five")

    assert await first_word(MODELS[3]) == "one "
