"""LangGraph: an agent that calls its tools, with what it has said streamed, kept in memory, and broken."""

import contextlib

import openai
import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph

from pytest_mockstream import Disconnect, HTTPError, ToolCall

QUESTION = {"messages": [("user", "What to wear in Paris?")]}


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def agent(**settings):
    return create_agent(ChatOpenAI(model="gpt-5"), [weather], **settings)


def script_of_two_turns(door):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")


async def test_tokens_of_the_answer(door):
    script_of_two_turns(door)

    tokens = [
        token.text async for token, _ in agent().astream(QUESTION, stream_mode="messages") if token.type != "tool"
    ]

    assert [token for token in tokens if token] == ["Take ", "an ", "umbrella."]


def test_tool_loop_in_sync_code(door):
    script_of_two_turns(door)

    reply = agent().invoke(QUESTION)

    assert [message.type for message in reply["messages"]] == ["human", "ai", "tool", "ai"]
    assert reply["messages"][-1].text == "Take an umbrella."


def test_parallel_calls_in_sync_code(door):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}), ToolCall("weather", {"city": "Rome"}))
    door.respond("Rain everywhere.")

    reply = agent().invoke(QUESTION)

    assert [message.text for message in reply["messages"][2:]] == ["rain in Paris", "rain in Rome", "Rain everywhere."]


async def test_events_of_the_tool_loop(door):
    script_of_two_turns(door)

    events = [event["event"] async for event in agent().astream_events(QUESTION, version="v2")]

    assert events.count("on_tool_end") == 1
    assert events.count("on_chat_model_end") == 2


async def test_thread_remembers(door):
    door.respond("Hello Ada.")
    door.respond("You are Ada.")
    talk = {"configurable": {"thread_id": "1"}}
    remembering = agent(checkpointer=InMemorySaver())

    await remembering.ainvoke({"messages": [("user", "I am Ada.")]}, talk)
    reply = await remembering.ainvoke({"messages": [("user", "What is my name?")]}, talk)

    assert reply["messages"][-1].text == "You are Ada."
    assert len(door.requests[1].messages) == 3


async def test_graph_of_two_branches_asks_twice(door):
    model = ChatOpenAI(model="gpt-5")
    door.respond("one", times=2)

    async def ask(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    for name in ("left", "right"):
        graph.add_node(name, ask)
        graph.add_edge(START, name)
        graph.add_edge(name, END)
    reply = await graph.compile().ainvoke(QUESTION)

    assert [message.text for message in reply["messages"][1:]] == ["one", "one"]


async def test_overload_is_tried_again(door):
    door.respond(HTTPError(429, retry_after=0.01))
    script_of_two_turns(door)

    assert (await agent().ainvoke(QUESTION))["messages"][-1].text == "Take an umbrella."
    assert len(door.requests) == 3


async def test_connection_lost_in_the_second_turn(door):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(turn=2).respond("Take", Disconnect())

    with pytest.raises(openai.APIConnectionError):
        async for _ in agent().astream(QUESTION, stream_mode="messages"):
            pass


async def test_reader_that_stops_early(door):
    door.respond("one two three four five")

    async with contextlib.aclosing(agent().astream(QUESTION, stream_mode="messages")) as tokens:
        async for _ in tokens:
            break

    await door.requests[0].aassert_closed(within=5)
