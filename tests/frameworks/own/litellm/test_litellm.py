"""litellm: one call for every provider, streamed and whole, with tools; a fall-back, an overload, a lost connection."""

import os

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it fetches a list of prices when it is imported

import litellm

from pytest_mockstream import Disconnect, HTTPError, Reasoning, ToolCall

HI = [{"role": "user", "content": "Tell me about Paris"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
MODELS = ["openai/gpt-4o", "anthropic/claude-opus-4-8", "gemini/gemini-2.5-flash", "ollama_chat/llama3.2"]
each_model = pytest.mark.parametrize("model", MODELS)


@each_model
async def test_answer_comes_in_chunks(door, model):
    door.respond("Paris is lovely.")

    stream = await litellm.acompletion(model, messages=HI, stream=True)
    deltas = [chunk.choices[0].delta.content async for chunk in stream]

    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]


@each_model
def test_answer_in_sync_code(door, model):
    door.respond("Paris is lovely.")

    reply = litellm.completion(model, messages=HI)

    assert reply.choices[0].message.content == "Paris is lovely."
    assert reply.usage.completion_tokens == 3


@each_model
async def test_tool_loop(door, model):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    first = await litellm.acompletion(model, messages=HI, tools=[WEATHER])
    (call,) = first.choices[0].message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "rain in Paris"}
    second = await litellm.acompletion(model, messages=[*HI, first.choices[0].message, result], tools=[WEATHER])

    assert (call.function.name, call.function.arguments.replace(" ", "")) == ("weather", '{"city":"Paris"}')
    assert second.choices[0].message.content == "Take an umbrella."


@each_model
async def test_reasoning(door, model):
    door.respond(Reasoning("Paris, again."), "Lovely.")

    message = (await litellm.acompletion(model, messages=HI)).choices[0].message

    assert (message.reasoning_content, message.content) == ("Paris, again.", "Lovely.")


@each_model
async def test_overload_is_an_error(door, model):
    door.respond(HTTPError(429, retry_after=0.01), times=None)

    with pytest.raises(litellm.RateLimitError):
        await litellm.acompletion(model, messages=HI, num_retries=0, max_retries=0)

    assert len([request for request in door.requests if request.path != "/api/show"]) == 1


async def test_fall_back_to_another_provider(door):
    door.when(provider="openai").respond(HTTPError(500), times=None)
    door.when(provider="anthropic").respond("Paris is lovely.")

    router = litellm.Router(
        [{"model_name": name, "litellm_params": {"model": name}} for name in MODELS[:2]],
        fallbacks=[{MODELS[0]: [MODELS[1]]}],
        num_retries=0,
    )
    reply = await router.acompletion(MODELS[0], messages=HI)

    assert reply.choices[0].message.content == "Paris is lovely."


@each_model
async def test_connection_lost_midway(door, model):
    door.respond("Paris is", Disconnect())
    read = []

    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        async for chunk in await litellm.acompletion(model, messages=HI, stream=True):
            read.append(chunk.choices[0].delta.content or "")

    assert "".join(read) == "Paris is"


async def test_embedding(door):
    reply = await litellm.aembedding("openai/text-embedding-3-small", input=["Paris"])

    assert len(reply.data[0]["embedding"]) == 1536
