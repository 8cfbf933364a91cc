"""Semantic Kernel: an answer as it comes, a function that is called, an agent, a rate limit, a lost connection."""

import openai
import pytest
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai import FunctionChoiceBehavior
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion, OpenAIChatPromptExecutionSettings
from semantic_kernel.contents import ChatHistory
from semantic_kernel.exceptions import ServiceResponseException
from semantic_kernel.functions import kernel_function

from pytest_mockstream import Disconnect, HTTPError, ToolCall


class Weather:
    @kernel_function
    def weather(self, city: str) -> str:
        """Tell the weather."""
        return f"rain in {city}"


def service():
    return OpenAIChatCompletion(ai_model_id="gpt-4o")


def history():
    talk = ChatHistory()
    talk.add_user_message("Tell me about Paris")
    return talk


async def test_answer(door):
    door.respond("Paris is lovely.")

    reply = await service().get_chat_message_content(history(), OpenAIChatPromptExecutionSettings())

    assert str(reply) == "Paris is lovely."


async def test_answer_comes_in_chunks(door):
    door.respond("Paris is lovely.")

    stream = service().get_streaming_chat_message_content(history(), OpenAIChatPromptExecutionSettings())
    deltas = [str(part) async for part in stream]

    assert [delta for delta in deltas if delta] == ["Paris ", "is ", "lovely."]


async def test_function_that_the_model_calls(door):
    door.when(turn=1).respond(ToolCall("Weather-weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")
    kernel = Kernel()
    kernel.add_plugin(Weather(), "Weather")
    settings = OpenAIChatPromptExecutionSettings(function_choice_behavior=FunctionChoiceBehavior.Auto())

    reply = await service().get_chat_message_content(history(), settings, kernel=kernel)

    assert str(reply) == "Take an umbrella."


async def test_agent_with_a_plugin(door):
    door.when(turn=1).respond(ToolCall("Weather-weather", {"city": "Paris"}))
    door.when(tool_result_contains="rain in Paris").respond("Take an umbrella.")
    agent = ChatCompletionAgent(service=service(), name="guide", plugins=[Weather()])

    deltas = [str(part.message) async for part in agent.invoke_stream(messages="What to wear in Paris?")]

    assert "".join(deltas) == "Take an umbrella."


async def test_overload_is_tried_again(door):
    door.respond(HTTPError(429, retry_after=0.01))
    door.respond("Paris is lovely.")

    reply = await service().get_chat_message_content(history(), OpenAIChatPromptExecutionSettings())

    assert str(reply) == "Paris is lovely."
    assert len(door.requests) == 2


async def test_overload_for_good(door):
    door.respond(HTTPError(429, retry_after=0.01), times=None)

    with pytest.raises(ServiceResponseException) as caught:
        await service().get_chat_message_content(history(), OpenAIChatPromptExecutionSettings())

    assert isinstance(caught.value.__cause__, openai.RateLimitError)


async def test_connection_lost_midway(door):
    door.respond("Paris is", Disconnect())
    read = []

    with pytest.raises(openai.APIConnectionError):
        async for part in service().get_streaming_chat_message_content(history(), OpenAIChatPromptExecutionSettings()):
            read.append(str(part))

    assert "".join(read) == "Paris is"
