"""CrewAI: a crew that answers, a tool loop, a flow, streaming, a rate limit."""

import httpx
import pytest
from crewai import LLM, Agent, Crew, Task
from crewai.flow.flow import Flow, listen, start
from crewai.tools import tool

from pytest_mockstream import Disconnect, HTTPError, ToolCall


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


def crew(**settings):
    agent = Agent(role="guide", goal="help", backstory="knows Paris", llm=LLM(model="openai/gpt-4o"), **settings)
    return Crew(agents=[agent], tasks=[Task(description="What to wear?", expected_output="one line", agent=agent)])


def test_answer(door):
    door.respond("Thought: I now can give a great answer\nFinal Answer: An umbrella.")

    assert crew().kickoff().raw == "An umbrella."


async def test_answer_in_async_code(door):
    door.respond("Thought: I now can give a great answer\nFinal Answer: An umbrella.")

    assert (await crew().kickoff_async()).raw == "An umbrella."


def test_tool_loop(door):
    door.when(turn=1).respond(ToolCall("weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")

    assert crew(tools=[weather]).kickoff().raw == "Take an umbrella."


def test_flow(door):
    door.respond("Paris")

    class Trip(Flow):
        @start()
        def city(self):
            return LLM(model="openai/gpt-4o").call("Name a city")

        @listen(city)
        def cry(self, city):
            return f"{city}!"

    assert Trip().kickoff() == "Paris!"


def test_llm_streams(door):
    door.respond("Paris is lovely.")

    assert LLM(model="openai/gpt-4o", stream=True).call("Tell me about Paris") == "Paris is lovely."
    assert door.requests[0].streaming


def test_overload_is_tried_again(door):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    assert LLM(model="openai/gpt-4o").call("Tell me about Paris") == "Paris is lovely."
    assert len(door.requests) == 2


def test_connection_lost_midway(door):
    door.respond("Paris is", Disconnect())

    with pytest.raises(httpx.ReadError):
        LLM(model="openai/gpt-4o", stream=True).call("Tell me about Paris")
