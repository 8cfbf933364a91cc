"""LlamaIndex: an answer as it comes, an agent with a tool, a query over documents, a rate limit, a lost connection."""

import httpx
import openai
import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI, OpenAIResponses

from pytest_mockstream import Disconnect, HTTPError, ToolCall

MODELS = {
    "openai": lambda **settings: OpenAI("gpt-4o", **settings),
    "responses": lambda **settings: OpenAIResponses("gpt-4o", **settings),
}
each_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
HI = [ChatMessage("Tell me about Paris")]


def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


@each_model
async def test_answer_comes_in_chunks(door, make):
    door.respond("Paris is lovely.")

    deltas = [part.delta async for part in await make().astream_chat(HI)]

    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]


@each_model
def test_answer_in_sync_code(door, make):
    door.respond("Paris is lovely.")

    assert make().chat(HI).message.content == "Paris is lovely."


@each_model
async def test_tool_loop(door, make):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    run = FunctionAgent(tools=[weather], llm=make()).run("What to wear in Paris?")
    deltas = [event.delta async for event in run.stream_events() if isinstance(event, AgentStream)]

    assert str(await run) == "Take an umbrella."
    assert "".join(deltas) == "Take an umbrella."


def test_query_over_documents(door):
    door.when(contains="The Louvre is in Paris.").respond("In Paris.")
    index = VectorStoreIndex.from_documents([Document(text="The Louvre is in Paris.")], embed_model=OpenAIEmbedding())

    assert str(index.as_query_engine(llm=MODELS["openai"]()).query("Where is the Louvre?")) == "In Paris."


@each_model
async def test_overload_is_tried_again(door, make):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    assert (await make().achat(HI)).message.content == "Paris is lovely."
    assert len(door.requests) == 2


@each_model
async def test_connection_lost_midway(door, make):
    door.respond("Paris is", Disconnect())
    read = []

    with pytest.raises((openai.APIConnectionError, httpx.ReadError)):
        async for part in await make().astream_chat(HI):
            read.append(part.delta)

    assert "".join(filter(None, read)) == "Paris is"


@each_model
@pytest.mark.expect_leak(kind="stream")
async def test_reader_that_stops_early_leaves_the_stream_open(mock_stream_sdk, make):
    mock_stream_sdk.respond("one two three four five")

    parts = await make().astream_chat(HI)
    async for _ in parts:
        break
    await parts.aclose()


async def test_reader_that_stops_early_closes_the_client(door):
    door.respond("one two three four five")

    async with httpx.AsyncClient() as client:
        parts = await MODELS["openai"](async_http_client=client).astream_chat(HI)
        async for _ in parts:
            break
        await parts.aclose()

    await door.requests[0].aassert_closed(within=5)
