"""LangChain's chat models: an answer as it comes, a tool call answered in a loop, an overload, a lost connection."""

import contextlib

import httpx
import httpx2
import openai
import pytest
import urllib3
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_mistralai import ChatMistralAI
from langchain_openai import ChatOpenAI

from pytest_mockstream import Disconnect, HTTPError, MockStreamServer, Reasoning, ToolCall

MODELS = {
    "openai": lambda: ChatOpenAI(model="gpt-5"),
    "responses": lambda: ChatOpenAI(model="gpt-5", use_responses_api=True),
    "anthropic": lambda: ChatAnthropic(model="claude-opus-4-8"),
    "gemini": lambda: ChatGoogleGenerativeAI(model="gemini-2.5-flash"),
    "bedrock": lambda: ChatBedrockConverse(model="anthropic.claude-sonnet-4-20250514-v1:0"),
    "mistral": lambda: ChatMistralAI(model_name="mistral-large-latest"),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)


#: What the libraries below raise when a connection breaks.
BROKEN = (openai.APIConnectionError, httpx.ReadError, httpx2.ReadError, urllib3.exceptions.ProtocolError)


@pytest.fixture
def door(door, monkeypatch):
    """Lead ChatMistralAI to the server by its own name for Mistral's place."""
    if isinstance(door, MockStreamServer):
        monkeypatch.setenv("MISTRAL_BASE_URL", f"{door.base_url('mistral')}/v1")
    return door


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@each_model
async def test_answer_comes_in_chunks(door, make):
    door.respond("Paris is lovely.")

    chunks = [chunk.text async for chunk in make().astream("Tell me about Paris")]

    assert "".join(chunks) == "Paris is lovely."
    assert len([chunk for chunk in chunks if chunk]) == 3


@each_model
def test_answer_in_sync_code(door, make):
    door.respond("Paris is lovely.")

    reply = make().invoke("Tell me about Paris")

    assert reply.text == "Paris is lovely."
    assert reply.usage_metadata["output_tokens"] == 3


@each_model
async def test_tool_loop(door, make):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")
    model = make().bind_tools([weather])
    messages = [HumanMessage("What to wear in Paris?")]

    messages.append(await model.ainvoke(messages))
    messages += [await weather.ainvoke(call) for call in messages[-1].tool_calls]
    messages.append(await model.ainvoke(messages))

    assert messages[-1].text == "Take an umbrella."


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"mistral"}))
async def test_overload_is_tried_again(door, name):
    door.respond(HTTPError(429))
    door.respond("Paris is lovely.")

    assert (await MODELS[name]().ainvoke("Tell me about Paris")).text == "Paris is lovely."
    assert len(door.requests) == 2


async def test_overload_of_mistral_is_not_tried_again(door):
    door.respond(HTTPError(429))

    with pytest.raises(httpx.HTTPStatusError):
        await MODELS["mistral"]().ainvoke("Tell me about Paris")


@each_model
async def test_connection_lost_midway(door, make):
    door.respond("Paris is", Disconnect())
    read = []

    with pytest.raises(BROKEN):
        async for chunk in make().astream("Tell me about Paris"):
            read.append(chunk.text)

    assert "".join(read) == "Paris is"
    assert [request.state for request in door.requests] == ["broken"]


@each_model
async def test_reader_that_stops_early(door, make):
    door.respond("one two three four five")

    async with contextlib.aclosing(make().astream("count")) as chunks:
        async for chunk in chunks:
            if chunk.text:
                break

    await door.requests[0].aassert_closed(within=5)


def test_reasoning_of_anthropic(door):
    door.respond(Reasoning("Paris, again."), "Lovely.")

    reply = MODELS["anthropic"]().invoke("Tell me about Paris")

    assert [block["type"] for block in reply.content_blocks] == ["reasoning", "text"]
